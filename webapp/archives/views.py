"""Ask for everything of yours in one file, watch its progress, and download it."""

from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from webapp import rate_limits
from webapp.accounts.models import User
from webapp.archives import exports
from webapp.archives.models import READY
from webapp.audit import events
from webapp.audit.events import Event
from webapp.authentication import auth, proof
from webapp.authentication.auth import login_required, while_logged_in
from webapp.authentication.forms import Proved
from webapp.database import now
from webapp.i18n import gettext as _
from webapp.web import pages
from webapp.web.forms import Form
from webapp.web.limits import limited


class Download(StreamingResponse):
    """Breaks off, so that the browser knows that something is missing, once a session has ended."""

    async def stream_response(self, send: Send) -> None:
        with suppress(exports.CutOff):
            await super().stream_response(send)


@login_required
async def export(request: Request) -> Response:
    """The page for all of it, which asks who that is: the file has everything about a person. The part with the
    progress keeps refreshing itself.
    """
    form = await Form.of(request, Proved)
    is_sent = request.method == "POST" and form.is_valid
    proved = await proof.prove(request, form) if is_sent else None
    if proved and await _is_under_way(request):  # pressing twice is pressing once
        return pages.redirect(request, request.url.path)
    response = await _asked(request, form, proved) if proved else None
    return response or await _page(request, form, "panel" if request.method == "POST" else "progress")


@login_required
async def download_export(request: Request) -> Response:
    """The file, once its owner has proved who they are. It takes a POST, so no address ever opens it."""
    form = await Form.read(request, Proved)
    proved = await proof.prove(request, form) if form.is_valid else None
    response = await _downloaded(request, form, proved) if proved else None
    return response or await _page(request, form, "panel")


async def _is_under_way(request: Request) -> bool:
    made = await exports.latest(request.state.db, request.state.user.id)
    return made is not None and made.state != READY


async def _page(request: Request, form: Form[Proved], part: str) -> Response:
    made = await exports.latest(request.state.db, request.state.user.id)
    if part == "progress" and pages.asks_for_part(request) and (made is None or made.state == READY):
        return pages.redirect(request, request.url.path)  # the page has more to show now than the progress
    is_late = made is not None and exports.is_late(made.asked_at, made.leased_until)
    return pages.render(request, "archives/export.html", part=part, form=form, export=made, is_late=is_late)


@limited(rate_limits.EXPORTS)
@while_logged_in
async def _asked(request: Request, form: Form[Proved], user: User) -> Response:
    db, page = request.state.db, request.app.url_path_for("export")
    if await _is_under_way(request):  # it was asked for in another browser in the same instant
        return pages.redirect(request, page)
    await exports.ask(db, user.id)
    await events.note(db, Event.EXPORT_ASKED, user.id, auth.client_info(request))
    await db.commit()
    request.app.state.exports.wake()
    words = _("We're putting everything together. You'll get an email when it's ready.")
    return pages.redirect(request, page, flash=words)


@limited(rate_limits.DOWNLOADS)
@while_logged_in
async def _downloaded(request: Request, form: Form[Proved], user: User) -> Response:
    db = request.state.db
    made = await exports.latest(db, user.id)
    if made is None or made.state != READY:
        await db.commit()  # it counts all the same
        return pages.redirect(request, "/export", flash=_("That file is gone. Ask for a new one."), kind="notice")
    await events.note(db, Event.EXPORT_DOWNLOADED, user.id, auth.client_info(request))
    await db.commit()
    name = f"{user.username}-{now():%Y-%m-%d}.zip"
    headers = {"content-disposition": f'attachment; filename="{name}"', "content-length": str(made.size)}
    file = exports.content(request.app.state.database, made.id, made.size, request.state.user.session_id)
    return Download(file, media_type="application/zip", headers=headers)
