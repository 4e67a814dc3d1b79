"""Static files, which browsers keep for ever under a path with their hash."""

import hashlib
from pathlib import Path

from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from webapp.settings import ROOT

STATIC = ROOT / "static"


class HashedFiles:
    """The static files under /static/{hash of all of them}/: kept for ever there, fetched anew elsewhere."""

    def __init__(self) -> None:
        self.files = StaticFiles(directory=STATIC)
        self.version = _version_of(STATIC)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        version, _slash, name = scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/").partition("/")
        response = await self.files.get_response(name, scope)
        if version == self.version and response.status_code in {200, 304}:
            response.headers["cache-control"] = "public, max-age=31536000, immutable"
        await response(scope, receive, send)


def _version_of(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]
