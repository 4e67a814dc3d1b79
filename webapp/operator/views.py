"""For the admin, the mail's page; and what load balancers and security researchers ask for."""

import hmac
from datetime import timedelta

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from webapp import rate_limits
from webapp.accounts import users
from webapp.audit import events
from webapp.audit.events import Event
from webapp.authentication import auth
from webapp.authentication.auth import admin_required
from webapp.authentication.proof import proved_button
from webapp.database import now
from webapp.i18n import gettext as _
from webapp.i18n import ngettext
from webapp.logs import mask
from webapp.mail import kinds, refusals, status
from webapp.operator import health as health_checks
from webapp.operator import mail_status
from webapp.operator import metrics as figures
from webapp.operator.forms import SendAgain, WorksAgain
from webapp.web import pages
from webapp.web.forms import Form
from webapp.web.limits import limited_button

# Always in the future, so that copies are renewed in time. RFC 9116 wants less than a year.
SECURITY_TXT_EXPIRES = timedelta(days=180)


@admin_required
async def admin_mail(request: Request) -> Response:
    db, settings = request.state.db, request.app.state.settings
    state = await status.read(db)
    given_up, unreachable = await mail_status.failed(db, settings)
    return pages.render(
        request,
        "operator/admin_mail.html",
        part="state",
        state=state,
        sentence=mail_status.sentence(state, settings),
        is_well=mail_status.is_well(state),
        given_up=given_up,
        unreachable=unreachable,
    )


@admin_required
@limited_button(rate_limits.SMALL_CHANGES)
@proved_button
async def pause_mail(request: Request) -> Response:
    await status.pause(request.state.db)
    return await _done(request, _("Paused."), Event.MAIL_PAUSED)


@admin_required
@limited_button(rate_limits.SMALL_CHANGES)
@proved_button
async def resume_mail(request: Request) -> Response:
    await status.resume(request.state.db)
    return await _done(request, _("Resumed."), Event.MAIL_RESUMED)


@admin_required
@limited_button(rate_limits.SMALL_CHANGES)
@proved_button
async def send_mail_again(request: Request) -> Response:
    """Sends an email that was given up; all of them if none is named."""
    form = await Form.read(request, SendAgain)
    if not form.is_valid:
        return pages.redirect(request, "/admin/mail", flash=_("There's no such email."), kind="error")
    count = await status.send_again(request.state.db, request.app.state.settings, kinds.lifetimes(), form.data.letter)
    words = ngettext("%(count)s email is on its way again.", "%(count)s emails are on their way again.", count)
    return await _done(request, words % {"count": count}, Event.MAIL_SENT_AGAIN, emails=count)


@admin_required
@limited_button(rate_limits.SMALL_CHANGES)
@proved_button
async def address_works_again(request: Request) -> Response:
    """Forgets that an address refused emails: the admin knows better than an old bounce."""
    form, db, settings = await Form.read(request, WorksAgain), request.state.db, request.app.state.settings
    address = form.is_valid and await mail_status.unreachable_address(db, settings, form.data.mark)
    if not address:
        await db.commit()  # it counts
        words = _("There's no such address, or it works again.")
        return pages.redirect(request, "/admin/mail", flash=words, kind="error")
    await refusals.works_again(db, settings, address)
    if owner := await users.find(db, address):
        await events.note(db, Event.ADDRESS_WORKS, owner.id, events.by_admin(request.state.user.username), by="admin")
    await db.commit()
    return pages.redirect(
        request, "/admin/mail", flash=_("Emails go to %(address)s again.") % {"address": mask(address)}
    )


async def _done(request: Request, words: str, event: Event, **details: object) -> Response:
    await events.note(request.state.db, event, request.state.user.id, auth.client_info(request), **details)
    await request.state.db.commit()
    return pages.redirect(request, "/admin/mail", flash=words)


async def health(request: Request) -> Response:
    """200 as long as the process serves."""
    return Response(b'{"status":"ok"}', media_type="application/json")  # encoding it each time takes 7 of 80 µs


async def ready(request: Request) -> Response:
    """200 if the database can be read and written and this process's mailer runs; else 503, and what is wrong."""
    state, is_wanted = request.app.state, request.app.state.settings.mailer == "web"
    is_missing = is_wanted and not state.mailer.is_running
    is_away = state.alarms.is_away
    problems = await health_checks.problems(
        state.database, request.state.db, is_mailer_missing=is_missing, is_away=is_away
    )
    body = {"status": "unavailable" if problems else "ok", "problems": problems}
    return JSONResponse(body, 503 if problems else 200, {"retry-after": "5"} if problems else None)


async def metrics(request: Request) -> Response:
    """Figures for a monitor that sends the METRICS_KEY. For everybody else there is no such page."""
    state, key = request.app.state, request.app.state.settings.metrics_key
    scheme, _space, given = request.headers.get("authorization", "").partition(" ")
    if not key or scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), key.encode()):
        raise HTTPException(404)
    process = figures.Process(state.requests, state.hasher.in_hand, state.database.waits)
    return Response(await figures.text(request.state.db, process), media_type=figures.MEDIA_TYPE)


async def security_txt(request: Request) -> Response:
    """Where to report a vulnerability (RFC 9116); 404 if no contact is set."""
    settings = request.app.state.settings
    if not settings.security_contact:
        raise HTTPException(404)
    expires_at = (now() + SECURITY_TXT_EXPIRES).replace(hour=0, minute=0, second=0, microsecond=0)
    lines = [
        f"Contact: {settings.security_contact}",
        f"Expires: {expires_at:%Y-%m-%dT%H:%M:%SZ}",
        f"Preferred-Languages: {', '.join(settings.languages)}",
        f"Canonical: {settings.base_url}{request.url.path}",
    ]
    return PlainTextResponse("".join(f"{line}\n" for line in lines))
