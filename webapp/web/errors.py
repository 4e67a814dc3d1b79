"""The error pages: a clear sentence, the right status and a way on, never a traceback."""

import logging
import re

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Send

from webapp.database import refusals
from webapp.fair_queue import Busy
from webapp.i18n import gettext as _
from webapp.logs import Report
from webapp.web import drafts, forms, pages

log = logging.getLogger("webapp.errors")
LONG_PART = re.compile(r"[^/]{60,}")
SOON_OVER = {408, 429, 500, 503}
NOT_READ = {400, 408, 413}  # what was sent, so only the browser still has it


def page(
    request: Request,
    status: int,
    message: str = "",
    headers: dict[str, str] | None = None,
    typed: dict[str, str] | None = None,
) -> Response:
    """The page for a status, with the given sentence or the usual one.

    It leads back to the form, where what was `typed` is kept, or to the page whose button was pressed.
    """
    heading, usual = _words(status)
    keeping = Response()
    is_again = status in SOON_OVER and _is_page(request)
    response = pages.render(
        request,
        "error.html",
        status=status,
        headers=headers,
        heading=heading,
        message=message or usual,
        is_again=is_again,
        is_form=request.method == "POST",
        is_unread=request.method == "POST" and status in NOT_READ and not message,
        is_kept=is_again and bool(typed) and drafts.keep(request, keeping, request.url.path, typed or {}),
        way_back="" if is_again else _page_before(request),
        request_id=request.scope["state"].get("request_id") if status >= 500 else None,
    )
    response.raw_headers += [header for header in keeping.raw_headers if header[0] == b"set-cookie"]
    return response


async def refused(request: Request, refusal: Exception) -> Response:
    """Starlette's handler for what a view or the router refused."""
    assert isinstance(refusal, HTTPException)
    message = _missing(request.path_params) if refusal.status_code == 404 else ""
    return page(request, refusal.status_code, message, headers=dict(refusal.headers or {}))


async def answer(request: Request, error: Exception, report: Report, send: Send) -> None:
    """Turns an exception that nobody expected into the 500 page, one line in the log, and nothing else."""
    scope = request.scope
    await _answer(request, error, _typed(request))(scope, request.receive, send)
    if not isinstance(error, Busy):
        route = getattr(scope.get("route"), "path", "no route")
        await report(error, f"{scope['method']} {route}")


def is_expected(error: Exception) -> bool:
    """Whether it is nobody's mistake, and soon over."""
    return isinstance(error, Busy) or refusals.is_away(error)


def _typed(request: Request) -> dict[str, str]:
    """What was typed into the form that was sent, unless it stands behind a link, whose token is not stored."""
    return {} if LONG_PART.search(request.scope["path"]) else forms.typed(request)


def _answer(request: Request, error: Exception, typed: dict[str, str]) -> Response:
    if is_expected(error):
        cause = getattr(error, "orig", None) or error
        reason = str(cause)[:200] or "It took too long."
        log.warning("unavailable", extra={"fields": {"error": type(error).__name__, "reason": reason}})
        return page(request, 503, headers={"retry-after": "5"}, typed=typed)
    if isinstance(error, ClientDisconnect):
        return Response(status_code=400)  # nobody reads it
    log.error("unhandled", exc_info=error)
    return page(request, 500, typed=typed)


def _is_page(request: Request) -> bool:
    """Whether the same address shows a page. It may never have been routed, so this looks for itself."""
    looked_at = {**request.scope, "method": "GET"}
    return any(route.matches(looked_at)[0] is Match.FULL for route in request.app.routes)


def _page_before(request: Request) -> str:
    """The page with the button that was pressed; "" if nothing was, or if its address is a secret."""
    page = pages.page_before(request) if request.method == "POST" else "/"
    return "" if page == "/" or LONG_PART.search(page) else page


def _missing(named: dict[str, object]) -> str:
    """What isn't there: the post or the person that the path names; "" if it names neither. Whether it is gone, hidden,
    or has never been is nobody's business.
    """
    if "post_id" in named:
        return _("There's no such post to be seen here. It may have been deleted.")
    return _("There's nobody by that name to be seen here.") if "username" in named else ""


def _words(status: int) -> tuple[str, str]:
    usual = {
        400: (_("That didn't work"), _("Something is wrong with the request. Try again.")),
        403: (_("Not allowed"), _("You can't do that here.")),
        404: (
            _("Nobody lives at this address"),
            _("The page was moved or deleted, or its address was cut off on the way."),
        ),
        405: (_("That won't work here"), _("This page doesn't work that way. Open it in your browser.")),
        408: (
            _("That took too long"),
            _("What you sent didn't arrive in time. Try again; a better connection helps."),
        ),
        413: (_("Too much at once"), _("That's more than this site accepts. Try sending less.")),
        414: (_("That address is too long"), _("No address here is that long. It may have been garbled on the way.")),
        415: (_("Not a form"), _("This page only accepts ordinary web forms.")),
        429: (_("Too many requests"), _("Wait a moment, then try again.")),
        431: (
            _("Too much at once"),
            _("Your browser sent more than this site accepts. Clearing its cookies for this site may help."),
        ),
        500: (_("Something broke"), _("That's our fault, not yours. Nothing was changed. Try again.")),
        503: (_("Back in a moment"), _("The site is busy or being repaired. Nothing is lost; try again.")),
    }
    return usual.get(status, usual[400] if status < 500 else usual[500])
