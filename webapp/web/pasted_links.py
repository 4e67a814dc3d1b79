"""Links as people paste them: with the full stop of their sentence, in brackets, or broken over two lines."""

import re
from collections.abc import Iterable
from urllib.parse import quote

from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

# Soft line breaks of quoted-printable (RFC 2045, 6.7); brackets and spaces as HTML has them; white space, visible or
# not; what stands around a link in a text. None of it is ever part of a path with a token.
_NEVER_OURS = re.compile(
    r"=\r?\n|&(?:[lg]t|quot|nbsp|#[0-9]+);"
    r"|[\s\u00ad\u200b-\u200f\u2028-\u202f\u2060\ufeff<>()\[\]{}\"'`“”„‘’‚«»,;:!?*|\\^…]"
)
_AT_THE_END = "._-/~"


class PastedLinks:
    """Redirects to the intended link when what was pasted contains a whole one.

    It looks at every route whose path ends in a token; `shape` is what a token looks like. A link that is missing
    something is left to the view, which says so.
    """

    def __init__(self, routes: Iterable[BaseRoute], shape: str) -> None:
        paths = [route.path for route in routes if isinstance(route, Route) and route.path.endswith("/{token}")]
        names = [path.split("/")[1] for path in paths]
        self.link = re.compile(rf"/+({'|'.join(map(re.escape, names))})/+({shape})[{re.escape(_AT_THE_END)}]*")

    def __call__(self, request: Request) -> Response | None:
        meant = self.meant(request.scope["path"]) if request.method in {"GET", "HEAD"} else None
        return RedirectResponse(URL(path=quote(meant), query=request.url.query), 303) if meant else None

    def meant(self, path: str) -> str | None:
        """The path of the whole link within what was pasted; None if it is that path, or if there is none."""
        found = self.link.fullmatch(_NEVER_OURS.sub("", path))
        meant = f"/{found[1]}/{found[2]}" if found else path
        return meant if meant != path else None
