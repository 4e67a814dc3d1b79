"""Static files, which browsers keep for ever under the hash of their content. The stylesheets are sent as one."""

import hashlib
import posixpath
import re
from collections.abc import Callable
from functools import cached_property, lru_cache, partial
from pathlib import Path
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Receive, Scope, Send

from webapp.settings import ROOT, Settings

STATIC = ROOT / "static"
STYLESHEET = "site.css"  # all of static/css: first what others build on, and then the others by their names
FIRST = ["base", "page", "header", "menu", "flash", "button", "form", "panel"]  # base.css opens the layers
KEPT = {"cache-control": "public, max-age=31536000, immutable"}
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_SPACE = re.compile(r"\s+")
_NEEDLESS = re.compile(r" ?([{};,]) ?")
_REFERENCE = re.compile(r"""url\((["']?)(?!["']?(?:data:|#|/))([^"')]+)\1\)""")


class Assets:
    """The static files as they were when the process started. Changing one leaves the addresses of the others alone."""

    def __init__(self, folder: Path = STATIC) -> None:
        self.folder = folder
        files = (file for file in sorted(folder.rglob("*")) if file.is_file())
        self.hashes = {file.relative_to(folder).as_posix(): _hash(file.read_bytes()) for file in files}
        self.hashes[STYLESHEET] = _hash(self.stylesheet)

    def url(self, name: str) -> str:
        """Where a file is found; KeyError if there is none."""
        return f"/static/{self.hashes[name]}/{name}"

    @cached_property
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
        self.files = StaticFiles(directory=STATIC)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        version, _slash, name = scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/").partition("/")
        assets = self.assets()
        response = _stylesheet(assets, scope) if name == STYLESHEET else await self.files.get_response(name, scope)
        if version == assets.hashes.get(name) and response.status_code in {200, 304}:
            response.headers.update(KEPT)
        await response(scope, receive, send)


def _stylesheet(assets: Assets, scope: Scope) -> Response:
    if scope["method"] not in {"GET", "HEAD"}:
        raise HTTPException(405)
    etag = f'"{assets.hashes[STYLESHEET]}"'
    response = Response(assets.stylesheet, media_type="text/css", headers={"etag": etag})
    known = dict(scope["headers"]).get(b"if-none-match", b"").decode("latin-1")
    return NotModifiedResponse(response.headers) if etag in known else response


def _lean(sheet: str) -> str:
    """Without comments and needless space, which are a third of what a phone would have to fetch."""
    return _NEEDLESS.sub(r"\1", _SPACE.sub(" ", _COMMENT.sub("", sheet).strip()))


def _place(sheet: Path) -> tuple[int, str]:
    return FIRST.index(sheet.stem) if sheet.stem in FIRST else len(FIRST), sheet.name


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
