"""Static files, from memory. Browsers keep them for ever under the hash of their content.

The stylesheets are sent as one.
"""

import gzip
import hashlib
import posixpath
import re
from collections.abc import Callable
from functools import cached_property, lru_cache, partial
from pathlib import Path, PurePath
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from webapp.settings import ROOT, Settings

STATIC = ROOT / "static"
STYLESHEET = "site.css"  # all of static/css: first what others build on, and then the others by their names
FIRST = ["base", "page", "header", "menu", "flash", "button", "form", "panel"]  # base.css opens the layers
KEPT = {"cache-control": "public, max-age=31536000, immutable"}
# The machine's own table may lack some of them.
MEDIA_TYPES = {
    ".css": "text/css",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".woff2": "font/woff2",
}
PACKED = {".ico", ".png", ".woff2"}  # pictures and fonts hardly get smaller
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_COMMENT_LINE = re.compile(r"^\s*//.*\n", re.MULTILINE)
_SPACE = re.compile(r"\s+")
_NEEDLESS = re.compile(r" ?([{};,]) ?")
_REFERENCE = re.compile(r"""url\((["']?)(?!["']?(?:data:|#|/))([^"')]+)\1\)""")


class Asset:
    """A file as it is sent."""

    def __init__(self, name: str, content: bytes) -> None:
        self.suffix = PurePath(name).suffix
        self.content = _without_comment_lines(content) if self.suffix == ".js" else content
        self.hash = hashlib.sha256(self.content).hexdigest()[:12]

    @cached_property
    def compressed(self) -> bytes:
        """As small as gzip makes it, since that is done once; empty where it isn't worth it."""
        return b"" if self.suffix in PACKED else gzip.compress(self.content, mtime=0)


class Assets:
    """The static files as they were when the process started. Changing one leaves the addresses of the others alone."""

    def __init__(self, folder: Path = STATIC) -> None:
        self.folder = folder
        paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        self.files = {name: Asset(name, path.read_bytes()) for name, path in paths.items()}
        self.files[STYLESHEET] = Asset(STYLESHEET, self.stylesheet)

    def url(self, name: str) -> str:
        """Where a file is found; KeyError if there is none."""
        return f"/static/{self.files[name].hash}/{name}"

    @property
    def stylesheet(self) -> bytes:
        sheets = sorted(self.folder.glob("css/*.css"), key=_place)
        return "\n".join(_REFERENCE.sub(self._found, _lean(sheet.read_text("utf-8"))) for sheet in sheets).encode()

    def _found(self, reference: re.Match[str]) -> str:
        """A file that a stylesheet refers to, such as a font, by its cached address; drawings are embedded."""
        name = posixpath.normpath(f"css/{reference[2]}")
        if name.endswith(".svg"):
            return f'url("data:image/svg+xml,{quote((self.folder / name).read_text("utf-8"))}")'
        return f'url("{self.url(name)}")'


def assets_of(settings: Settings, folder: Path = STATIC) -> Callable[[], Assets]:
    """The static files as they were when the process started; on a development site, as they are now."""
    return partial(_as_they_are if settings.development else _read, folder)


def _as_they_are(folder: Path) -> Assets:
    """Read again only after a change: every page asks several times."""
    seen = ((file, file.stat()) for file in sorted(folder.rglob("*")))
    return _read(folder, tuple((file, status.st_mtime_ns, status.st_size) for file, status in seen))


@lru_cache(maxsize=2)
def _read(folder: Path, seen: tuple[tuple[Path, int, int], ...] = ()) -> Assets:
    return Assets(folder)


class HashedFiles:
    """The files under /static/{hash}/{name}: cached for ever under their own hash, and not under any other."""

    def __init__(self, assets: Callable[[], Assets]) -> None:
        self.assets = assets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        version, _slash, name = scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/").partition("/")
        asset = self.assets().files.get(name)
        if scope["method"] not in {"GET", "HEAD"}:
            raise HTTPException(405)
        if asset is None:
            raise HTTPException(404)
        response = _answer(asset, Headers(scope=scope))
        if version == asset.hash:
            response.headers.update(KEPT)
        await response(scope, receive, send)


def _answer(asset: Asset, asked: Headers) -> Response:
    headers = {"etag": f'W/"{asset.hash}"', "vary": "Accept-Encoding"}
    if headers["etag"] in asked.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    is_compressed = bool(asset.compressed) and "gzip" in asked.get("accept-encoding", "")
    if is_compressed:
        headers["content-encoding"] = "gzip"
    content = asset.compressed if is_compressed else asset.content
    return Response(content, headers=headers, media_type=MEDIA_TYPES.get(asset.suffix, "application/octet-stream"))


def _lean(sheet: str) -> str:
    """Without comments and needless space, which are a third of what a phone would have to fetch."""
    return _NEEDLESS.sub(r"\1", _SPACE.sub(" ", _COMMENT.sub("", sheet).strip()))


def _place(sheet: Path) -> tuple[int, str]:
    return FIRST.index(sheet.stem) if sheet.stem in FIRST else len(FIRST), sheet.name


def _without_comment_lines(script: bytes) -> bytes:
    """They are a fifth of our scripts; whoever wants to read them finds them in the source."""
    return _COMMENT_LINE.sub("", script.decode()).encode()
