"""Bring your posts: prove who you are, upload an archive, watch its progress, read what became of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import IO, cast

from starlette.requests import Request
from starlette.responses import Response

from webapp import rate_limits
from webapp.archive_imports import uploads, zips
from webapp.archive_imports.zips import Unreadable
from webapp.archives.models import WAITING
from webapp.audit import events
from webapp.audit.events import Event
from webapp.authentication import auth, proof
from webapp.authentication.auth import login_required
from webapp.authentication.forms import Proved
from webapp.i18n import gettext as _
from webapp.web import cookies, pages
from webapp.web.forms import EmptyForm, Form
from webapp.web.large_body import Upload
from webapp.web.limits import limited

PATH = "/import/upload"
PASS = "upload"
MEGABYTE = 1024 * 1024


def expected(request: Request) -> Upload | None:
    """Whose archive this request brings; only somebody with a pass may bring one. Asks no database."""
    if request.scope["path"] != PATH:
        return None
    settings = request.app.state.settings
    return Upload(uploads.pass_in(settings, cookies.read(request, PASS)), settings.import_megabytes * MEGABYTE)


@login_required
async def import_posts(request: Request) -> Response:
    """The page for all of it, which asks who that is: an archive puts words into a person's mouth, with dates of its
    own. The part with the progress keeps refreshing itself.
    """
    form = await Form.of(request, Proved)
    response = await _admitted(request, form) if request.method == "POST" and form.is_valid else None
    return response or await _page(request, form, "panel" if request.method == "POST" else "progress")


@login_required
async def upload_archive(request: Request) -> Response:
    """The file itself. A body this large gets here only with a pass."""
    if not _has_pass(request):
        words = _("First confirm that it's you. Then choose the file again.")
        return pages.redirect(request, request.app.url_path_for("import_posts"), flash=words, kind="notice")
    form = Form(EmptyForm)
    response = await _taken(request, form)
    return response or await _page(request, form, "panel")


@limited(rate_limits.UPLOADS, at_once=True)
async def _taken(request: Request, form: Form[EmptyForm]) -> Response | None:
    file = _file(request)
    if file is None:
        form.refuse("archive", _("Choose the zip file that this site or Mastodon made for you."))
        return None
    try:
        await asyncio.to_thread(zips.check, file)
    except Unreadable as refused:
        form.refuse("archive", _(str(refused)))
        return None
    return await _kept(request, form, file)


@proof.proved
@limited(rate_limits.IMPORT_PASSES)
async def _admitted(request: Request, form: Form[Proved]) -> Response:
    me = request.state.user
    response = pages.redirect(request, request.app.url_path_for("import_posts"))
    signed = uploads.pass_for(request.app.state.settings, me.id, me.epoch)
    cookies.write(request, response, PASS, signed, uploads.PASS_SECONDS)
    await request.state.db.commit()
    return response


@limited(rate_limits.IMPORTS, at_once=True)
async def _kept(request: Request, form: Form[EmptyForm], file: IO[bytes]) -> Response:
    """Stores the file piece by piece, each in a transaction of its own: visitors write in between."""
    db, me = request.state.db, request.state.user
    found = await uploads.latest(db, me.id)
    if found is None or found.state != WAITING:  # or it is the second press
        import_id, number = await uploads.begin(db, me.id, me.epoch), 0
        async for piece in _pieces(file):
            await uploads.add_piece(db, import_id, number, piece)
            await db.commit()
            number += 1
        await uploads.keep(db, me.id, import_id)
        await events.note(db, Event.IMPORT_ASKED, me.id, auth.client_info(request), bytes=file.tell())
    await db.commit()
    request.app.state.imports.wake()
    words = _("We have your file, and are importing it. You can leave this page.")
    response = pages.redirect(request, request.app.url_path_for("import_posts"), flash=words)
    cookies.delete(request, response, PASS)
    return response


async def _page(request: Request, form: Form[Proved] | Form[EmptyForm], part: str) -> Response:
    found = await uploads.latest(request.state.db, request.state.user.id)
    is_waiting = found is not None and found.state == WAITING
    if part == "progress" and pages.asks_for_part(request) and not is_waiting:
        return pages.redirect(request, request.url.path)  # the page has more to show now than the progress
    return pages.render(
        request,
        "archive_imports/import_posts.html",
        part=part,
        form=form,
        found=found,
        report=json.loads(found.report) if found and found.report else None,
        is_waiting=is_waiting,
        is_admitted=_has_pass(request),
        most_megabytes=request.app.state.settings.import_megabytes,
    )


def _has_pass(request: Request) -> bool:
    me, settings = request.state.user, request.app.state.settings
    return uploads.pass_in(settings, cookies.read(request, PASS)) == f"{me.id}.{me.epoch}"


def _file(request: Request) -> IO[bytes] | None:
    """The uploaded file; None if it isn't what our form sends."""
    form = getattr(request.state, "upload", None)
    sent = form.get("archive") if form else None
    return None if sent is None or isinstance(sent, str) or not sent.size else cast(IO[bytes], sent.file)


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    file.seek(0)
    while piece := await asyncio.to_thread(file.read, uploads.PIECE):
        yield piece
