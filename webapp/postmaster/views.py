"""The operator's page: is mail flowing, what waits, what was given up, and what to do about it."""

from starlette.requests import Request
from starlette.responses import Response

from webapp import pages
from webapp.accounts.sessions import admin_required
from webapp.forms import Form, Press
from webapp.language import gettext as _
from webapp.language import ngettext
from webapp.mail import status, writing
from webapp.postmaster import report
from webapp.postmaster.forms import SendAgain


@admin_required
async def admin_mail(request: Request) -> Response:
    db, settings = request.state.db, request.app.state.settings
    state = await status.read(db)
    return pages.render(
        request,
        "postmaster/admin_mail.html",
        part="state",
        state=state,
        sentence=report.sentence(state, settings),
        is_well=state.trouble is None and state.paused_at is None,
        given_up=await report.given_up(db),
    )


@admin_required
async def pause_mail(request: Request) -> Response:
    await Form.read(request, Press)
    await status.pause(request.state.db)
    await request.state.db.commit()
    return pages.redirect(request, "/admin/mail", flash=_("Paused: letters wait until you resume."))


@admin_required
async def resume_mail(request: Request) -> Response:
    await Form.read(request, Press)
    await status.resume(request.state.db)
    await request.state.db.commit()
    return pages.redirect(request, "/admin/mail", flash=_("Resumed."))


@admin_required
async def send_mail_again(request: Request) -> Response:
    """One letter that was given up, or all of them if none is named."""
    form = await Form.read(request, SendAgain)
    if not form.is_valid:
        return pages.redirect(request, "/admin/mail", flash=_("There is no such letter."))
    count = await status.send_again(request.state.db, writing.lifetimes(), form.data.letter)
    await request.state.db.commit()
    words = ngettext("%(count)s letter is on its way again.", "%(count)s letters are on their way again.", count)
    return pages.redirect(request, "/admin/mail", flash=words % {"count": count})
