"""The head of a request: bounded, as its body is."""

import logging

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from webapp.web import errors, protocol
from webapp.web.request_body import HANG_UP, SAYS_BODY

log = logging.getLogger("webapp.requests")

MAX_TARGET_BYTES = 8 * 1024  # the path and its query
MAX_HEADER_BYTES = 8 * 1024  # one name and its value
MAX_BYTES = 32 * 1024  # all of them
MAX_HEADERS = 100
HOW_TO_START = "--http webapp.web.protocol:BoundedProtocol"


class BoundedHead:
    """Refuses a head that no browser sends before anything reads it: 414 for the address, 431 for the rest.

    Nor may a request ask for another protocol and have a body: the server's parser (llhttp) takes that body for the
    next request, where a proxy has seen only one.

    Only the server can limit how long a head may take; the log says once if it doesn't. Nor can other servers tell what
    follows a body from a header, so there a body must state its length: 411.
    """

    def __init__(self) -> None:
        self._has_warned = False

    def __call__(self, request: Request) -> Response | None:
        scope = request.scope
        is_read_with_care = protocol.has_read(scope)
        if not (self._has_warned or is_read_with_care):
            self._has_warned = True
            log.warning("unbounded_server", extra={"fields": {"start_it_with": HOW_TO_START}})
        status = _refusal(scope) or (None if is_read_with_care else _of_unknown_length(scope))
        return errors.page(Request({**scope, "headers": []}), status, headers=HANG_UP) if status else None


def _refusal(scope: Scope) -> int | None:
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_TARGET_BYTES:
        return 414
    sizes = [len(name) + len(value) for name, value in scope["headers"]]
    if len(sizes) > MAX_HEADERS or sum(sizes) > MAX_BYTES or max(sizes, default=0) > MAX_HEADER_BYTES:
        return 431
    if scope["method"] == "CONNECT" or _asks_for_another_protocol(scope):
        return 400
    return None


def _asks_for_another_protocol(scope: Scope) -> bool:
    names = {name for name, _value in scope["headers"]}
    return b"upgrade" in names and not SAYS_BODY.isdisjoint(names)


def _of_unknown_length(scope: Scope) -> int | None:
    """Only such a body may be followed by trailers (RFC 9112, 7.1.2), and no browser sends a form that way."""
    return 411 if any(name == b"transfer-encoding" for name, _value in scope["headers"]) else None
