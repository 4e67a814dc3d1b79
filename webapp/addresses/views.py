"""Change the address, confirm the new one, undo it from the old one."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from webapp import rate_limits
from webapp.accounts.endings import Ended, Keep, Overtaken
from webapp.accounts.models import User
from webapp.accounts.tokens import Claim, Purpose, TokenClosed, TokenGone, TokenInvalid, TokenUsed, read
from webapp.accounts.users import Taken
from webapp.addresses import changes, forms
from webapp.addresses.changes import Change
from webapp.asked_emails import asked_emails
from webapp.asked_emails.asked_emails import Asked
from webapp.audit import events
from webapp.audit.events import Event
from webapp.authentication import auth, email_links, proof
from webapp.authentication.auth import login_required, while_logged_in
from webapp.authentication.email_links import Sent
from webapp.i18n import gettext as _
from webapp.i18n import ngettext
from webapp.mail import refusals
from webapp.web import page_language, pages
from webapp.web.forms import EmptyForm, Form
from webapp.web.limits import limited_button, too_often


class AlreadyConfirmed(TokenUsed):
    """The account has the address that the link confirms, so nobody needs another link."""

    def __init__(self, claim: Claim, change: Change) -> None:
        super().__init__(claim)
        self.change = change


@login_required
async def change_email(request: Request) -> Response:
    """Asks for a new address. It looks nobody up; only the mailer knows what the new address is told."""
    form = await Form.of(request, forms.ChangeEmail, email=email_links.typed_before(request))
    if form.is_valid and form.data.email == request.state.user.email:
        form.refuse("email", _("That's your email already."))
    if form.is_valid and not request.app.state.settings.sends_mail:
        form.refuse("", _("This site sends no email. Ask the admin for help."))
    sent = await _asked(request, form) if form.is_valid else None
    if sent:
        return email_links.check_email(request, sent)
    return pages.render(request, "addresses/change_email.html", part="panel", form=form)


@login_required
@limited_button(rate_limits.EMAIL_WORKS)
async def email_works(request: Request) -> Response:
    """The button beside "emails to this address are refused": they are sent again until one comes back."""
    db, user = request.state.db, request.state.user
    await refusals.works_again(db, request.app.state.settings, user.email)
    await events.note(db, Event.ADDRESS_WORKS, user.id, auth.client_info(request), by="owner")
    await db.commit()
    return pages.redirect(request, "/settings", flash=_("Emails go to %(address)s again.") % {"address": user.email})


async def confirm_email(request: Request) -> Response:
    """The button behind the link to a new address. It works in any browser; whoever is logged in stays so."""
    taken = _("Another account uses this email now, so this one can't have it.")
    return await _behind_link(request, Purpose.CONFIRM_EMAIL, "addresses/confirm_email.html", _confirmed, taken)


async def undo_email(request: Request) -> Response:
    """The button behind the link to an old address: it has the account again, and everybody is logged out."""
    taken = _("Another account has this email now. Write to the admin of this site.")
    return await _behind_link(request, Purpose.UNDO_EMAIL, "addresses/undo_email.html", _undone, taken)


async def _behind_link(
    request: Request, purpose: Purpose, page: str, act: Callable[[Request, Change], Awaitable[Response]], taken: str
) -> Response:
    """The page of the button, and what it does; `taken` is said if another account has the address."""
    form = await Form.of(request, EmptyForm)
    try:
        change = await _change_of(request, purpose)
        if form.is_valid:
            return await act(request, change)
    except Overtaken:
        return pages.redirect(request, request.url.path)  # where the link now says that it was used
    except Taken:
        await request.state.db.rollback()
        form.refuse("", taken)
    except AlreadyConfirmed as done:
        email_links.note_refused(request, done, purpose)
        page, change, status = "addresses/email_confirmed.html", done.change, 410
        return pages.render(request, page, part="panel", change=change, status=status)
    except TokenInvalid as refused:
        return email_links.bad(request, refused, purpose)
    token = request.path_params["token"]
    return pages.render(request, page, part="panel", form=form, change=change, token=token)


async def _asked(request: Request, form: Form[forms.ChangeEmail]) -> Sent | None:
    """Posts the emails, or says in the form why not."""
    user = await proof.prove(request, form)
    if user is None:
        return None
    client = auth.client_info(request)
    # Each request also sends an email to the current address, whatever the new one is.
    of_account = rate_limits.CHANGE_EMAIL, str(user.id)
    emails = rate_limits.email("confirm_email", form.data.email, client.client_ip)
    if await too_often(request, form, *emails, of_account, words=_("You can ask again in %(wait)s.")):
        return None
    return await _posted(request, form, user)


@while_logged_in
async def _posted(request: Request, form: Form[forms.ChangeEmail], user: User) -> Sent:
    db, settings, client = request.state.db, request.app.state.settings, auth.client_info(request)
    asked_id = asked_emails.new_id()
    change_id, is_delayed = await changes.ask(db, settings, user, form.data.email, client, asked_id)
    await db.commit()
    asked = Asked("confirm_email", f"user {user.id}", typed=form.data.email, change=change_id, epoch=user.epoch)
    return Sent(is_delayed, replace(asked, id=asked_id, browser=email_links.browser_mark(request)))


async def _change_of(request: Request, purpose: Purpose) -> Change:
    """The change that a link is for. Raises TokenInvalid; a link is used once what it does can't be done any more."""
    claim, expired = read(request.app.state.settings, purpose, request.path_params["token"])
    change = await changes.get(request.state.db, int(claim.subject))
    if change is None:
        raise expired or TokenGone(claim)
    if change.is_disabled:
        raise TokenClosed(claim)
    if purpose is Purpose.CONFIRM_EMAIL and change.is_in_force:
        raise AlreadyConfirmed(claim, change)
    if expired:
        raise expired
    if not (change.is_open if purpose is Purpose.CONFIRM_EMAIL else change.is_undoable):
        raise TokenUsed(claim)
    return change


async def _confirmed(request: Request, change: Change) -> Response:
    db, user = request.state.db, request.state.user
    is_here = user is not None and user.id == change.user_id
    client = auth.client_info(request)
    keep = Keep(user.session_id if is_here else None, client.browser_mark)
    ended = await changes.confirm(db, request.app.state.settings, change, client, keep)
    if is_here:
        response = pages.redirect(request, "/settings", flash=_changed(change.new_email, ended))
        await auth.renew(request, response, ended.epoch)
    else:
        words = _("Your email is changed. Log in with your username or the new email.")
        response = pages.redirect(request, "/login", flash=words)
        await auth.renew_browser(request, response)
    await db.commit()
    return response


async def _undone(request: Request, change: Change) -> Response:
    """Redirects to the reset request: a link that works for days must not set a password by itself."""
    db = request.state.db
    await changes.undo(db, request.app.state.settings, change, auth.client_info(request))
    with page_language.after_logging_out(request, change.user_id):
        words = _("%(username)s has the email %(address)s again and is logged out everywhere.")
        more = _("The old password no longer works. We'll email you a link to choose a new one.")
    flash = f"{words % {'username': change.username, 'address': change.old_email}} {more}"
    suffix = urlencode({"email": change.username})
    response = pages.redirect(request, f"/reset_password_request?{suffix}", flash=flash)
    await auth.renew_browser(request, response)
    await db.commit()
    return response


def _changed(address: str, ended: Ended) -> str:
    words = _("Your email is now %(address)s.")
    if ended.sessions:
        words = ngettext(
            "Your email is now %(address)s, and you're logged out on %(ended)s other device.",
            "Your email is now %(address)s, and you're logged out on %(ended)s other devices.",
            ended.sessions,
        )
    return email_links.with_codes(words % {"address": address, "ended": ended.sessions}, ended)
