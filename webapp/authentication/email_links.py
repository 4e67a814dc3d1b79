"""What people see when they ask for an email, or follow a link that doesn't work."""

from datetime import timedelta
from typing import Any, NamedTuple

from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from webapp import rate_limits
from webapp.accounts.endings import Ended
from webapp.accounts.tokens import REGISTER_LIFETIME, TokenInvalid, TokenMalformed, TokenStale, stamp
from webapp.asked_emails import asked_emails, email_codes
from webapp.asked_emails.asked_emails import Asked
from webapp.audit import events
from webapp.audit.events import Refusal
from webapp.authentication import auth, throttle
from webapp.authentication.forms import EmailCode
from webapp.database import now
from webapp.i18n import gettext as _
from webapp.i18n import ngettext
from webapp.mail import kinds
from webapp.rate_limits import TooOften, Use
from webapp.settings import Settings
from webapp.web import cookies, pages
from webapp.web.database_session import prepared
from webapp.web.forms import EmptyForm, Form
from webapp.web.limits import too_often

COOKIE = "asked"  # of the browser that asks for emails


class TokenForAnother(TokenStale):
    """Another account's than the one that is logged in."""

    reason = "for another"


class Sent(NamedTuple):
    """An email was posted. `is_delayed`, the same for everybody, says whether emails are leaving late at the moment."""

    is_delayed: bool
    asked: Asked


async def send(
    request: Request,
    form: Form[Any],
    kind: str,
    recipient: str,
    user_id: int | None = None,
    *,
    typed: str = "",
    by_owner: bool = False,
    asked_id: str = "",
    has_page: bool = True,
    invite: int = 0,
    epoch: int | None = None,
) -> Sent | None:
    """Posts an email, or says in the form why not. The work is the same whether the recipient exists or not.

    Given the `asked_id` of a page that is already waiting for an email, the codes of both emails work there. Without a
    page (`has_page`), the email has no code. With an `epoch`, it is only sent while the account is in it: the person
    who waits may have been thrown out meanwhile.
    """
    settings = request.app.state.settings
    if not settings.sends_mail:
        form.refuse("", _("This site sends no email. Ask the admin for help."))
        return None
    client = auth.client_info(request)
    this_id, browser = asked_id or asked_emails.new_id(), browser_mark(request)
    asked = Asked(kind, recipient, typed, user_id, by_owner, this_id, browser, epoch=epoch or 0, invite=invite)
    async with prepared(request, is_writing=False) as db:
        own_browser = await throttle.known_browser(db, recipient, client)
    uses = rate_limits.email(kind, recipient, client.client_ip, own_browser)
    said = {"by_owner": by_owner or None, "asked_id": asked.id if has_page else None, "invite": invite or None}
    said |= {"in_known_browser": bool(own_browser) or None, "epoch": epoch}
    more: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    by_anybody = user_id is None and not own_browser
    try:
        async with prepared(request, by_anybody=by_anybody) as db:
            is_delayed = await kinds.post(
                db, settings, kind, recipient, user_id=user_id, by_anybody=by_anybody, uses=uses, **more
            )
            await db.commit()
    except TooOften as refused:
        events.refused(Refusal.EMAIL_THROTTLED, client, user_id=user_id, typed=recipient, letter=kind)
        form.refuse_for_now(await _words(request.state.db, settings, kind, uses[0]), refused)
        return None
    return Sent(is_delayed, asked)


def check_email(request: Request, sent: Sent) -> Response:
    """Redirects to the page "Check your email". With htmx the page comes at once, under its own address."""
    token = asked_emails.seal(request.app.state.settings, sent.asked)
    page = request.app.url_path_for("check_email", token=token)
    if pages.asks_for_part(request):
        form = Form(EmailCode)
        response = check_email_page(request, token, sent.asked, form, sent.is_delayed, asked_emails.WAIT_SECONDS)
        is_there = request.scope["route"].name == "check_email"  # and Back should skip it
        response.headers["hx-replace-url" if is_there else "hx-push-url"] = page
    else:
        response = pages.redirect(request, page)
    cookies.write(request, response, COOKIE, _browser(request), asked_emails.KEPT_SECONDS)
    return response


def check_email_page(
    request: Request, token: str, asked: Asked, form: Form[EmailCode], is_delayed: bool, wait: int
) -> Response:
    """The page with the email's sender and subject, a field for its code in the browser that asked, and a button that
    sends it again after `wait` seconds.
    """
    settings = request.app.state.settings
    return pages.render(
        request,
        "authentication/check_email.html",
        part="panel",
        form=form,
        asked=asked,
        subject=asked_emails.subject(settings, asked.kind),
        other_subjects=asked_emails.other_subjects(settings, asked.kind),
        token=token,
        is_delayed=is_delayed,
        wait=wait,
        takes_code=has_asked(request, asked),
    )


async def behind_code(request: Request, form: Form[EmailCode], asked: Asked) -> str | None:
    """The path that the email's link leads to, if the code is right; else None, with the reason in the form.

    The attempt is counted before the code is checked, so simultaneous guesses count, too. The work is the same if there
    is no account.
    """
    db, settings, client = request.state.db, request.app.state.settings, auth.client_info(request)
    if not has_asked(request, asked):
        form.refuse("", _("The code works only in the browser where you asked. The link works anywhere."))
        return None
    uses = rate_limits.email_code(asked.id, asked.kind, asked.recipient, client.client_ip)
    words = _("That's too many wrong codes. The link in the email still works.")
    if refused := await too_often(request, form, *uses, words=words):
        events.refused(Refusal.EMAIL_CODE_THROTTLED, client, typed=asked.recipient, seconds=refused.seconds)
        return None
    await db.commit()
    token = await email_codes.token_for(db, settings, asked, form.data.code)
    if token is None:
        events.refused(Refusal.EMAIL_CODE, client, typed=asked.recipient, letter=asked.kind)
        form.refuse("code", _("That code isn't right."))
        return None
    return str(request.app.url_path_for(asked_emails.PAGES[asked.kind], token=token))


def browser_mark(request: Request) -> str:
    """How the address of the "Check your email" page identifies the browser that asked for the email."""
    return asked_emails.mark(_browser(request))


def has_asked(request: Request, asked: Asked) -> bool:
    """Whether this browser asked for an email with a code. One that keeps no cookies isn't recognised."""
    return asked.has_code and bool(asked.id) and asked.browser == browser_mark(request)


def _browser(request: Request) -> str:
    """This browser's secret, or a new one if it has none."""
    if not hasattr(request.state, "asking_browser"):
        request.state.asking_browser = cookies.read(request, COOKIE) or asked_emails.new_id()
    return str(request.state.asking_browser)


def typed_before(request: Request) -> str:
    """What was typed into the form that "Wrong address?" leads back to."""
    found = asked_emails.unseal(request.app.state.settings, request.query_params.get("again", ""))
    return found[0].typed if found else ""


def opened(request: Request, form: Form[Any]) -> str:
    """The stamp of the form behind a link. It keeps the time of the first opening when the form is shown again."""
    return form.values["opened"] or stamp(request.app.state.settings, request.path_params["token"])


async def _words(db: AsyncSession, settings: Settings, kind: str, use: Use) -> str:
    """What to tell people who ask too often: that an email was asked for, not whether anybody has got it."""
    again = _("You can ask again in %(wait)s.")
    sent_at = await rate_limits.last(db, settings, *use)
    lifetime = REGISTER_LIFETIME if kind == "register" else timedelta(minutes=settings.reset_token_minutes)
    if sent_at is None or sent_at + lifetime <= now():
        return again
    words = _("If you got the email that we sent at %(time)s UTC, its link still works.") % {"time": f"{sent_at:%H:%M}"}
    return f"{words} {again}"


def logged_out_on(devices: int) -> str:
    words = ngettext("%(ended)s device was logged out.", "%(ended)s devices were logged out.", devices)
    return words % {"ended": devices}


def with_codes(words: str, ended: Ended) -> str:
    """The given words, and a sentence about recovery codes or passkeys if some ended as well."""
    codes = _("Your recovery codes no longer work either. You can make new ones in your settings.")
    passkeys = _(
        "Your passkeys no longer work either, except one that was used for this. You can add new ones in your settings."
    )
    return " ".join([words, *([codes] if ended.codes else []), *([passkeys] if ended.passkeys else [])])


def bad(request: Request, refused: TokenInvalid, kind: str, page: str = "") -> Response:
    """Logs that a link was refused, and tells the visitor why.

    `page` is the path of the link's own page, if it isn't the one that was asked for.
    """
    note_refused(request, refused, kind)
    if request.method == "POST" and request.headers.get("hx-request"):
        return pages.redirect(request, page or request.url.path)  # the page says what is wrong
    return bad_page(request, refused, kind, Form(EmptyForm))


def note_refused(request: Request, refused: TokenInvalid, kind: str) -> None:
    if request.method == "POST":  # a look alone is no attempt
        events.refused(Refusal.LINK, auth.client_info(request), link=kind, reason=refused.reason)


def bad_page(request: Request, refused: TokenInvalid, kind: str, form: Form[EmptyForm]) -> Response:
    status = {TokenMalformed: 404, TokenForAnother: 403}.get(type(refused), 410)
    return pages.render(
        request,
        "authentication/bad_link.html",
        part="panel",
        form=form,
        status=form.status if form.errors else status,
        reason="over" if kind == "invite" and status == 410 else refused.reason,
        minutes=refused.minutes,
        kind=kind,
        token=request.path_params["token"],
    )
