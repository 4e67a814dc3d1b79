"""What people see who ask for an email, or follow a link that doesn't work."""

from datetime import timedelta
from typing import Any, NamedTuple

from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from webapp import rate_limits
from webapp.accounts.tokens import REGISTER_LIFETIME, Refused, TokenMalformed
from webapp.accounts.users import Ended
from webapp.audit import events
from webapp.audit.events import Refusal
from webapp.authentication import auth
from webapp.authentication.forms import RenewResetLink
from webapp.database import now, release
from webapp.i18n import gettext as _
from webapp.mail import kinds
from webapp.rate_limits import TooOften
from webapp.settings import Settings
from webapp.web import pages
from webapp.web.forms import Form

# However many a stranger has asked for, nobody is sent away for longer.
LONGEST_WAIT = rate_limits.HOUR


class Sent(NamedTuple):
    """An email was posted. `is_delayed` is the same for everyone: whether emails are leaving at the moment."""

    is_delayed: bool

    def with_truth(self, words: str) -> str:
        """The given words and, if emails are delayed, that it will take longer."""
        return f"{words} {_('Our mail is delayed at the moment; we keep trying.')}" if self.is_delayed else words


async def send(
    request: Request, form: Form[Any], kind: str, recipient: str, user_id: int | None = None, **parameters: Any
) -> Sent | None:
    """Posts an email, or says in the form why not. The work is the same whether the recipient exists or not."""
    db, settings = request.state.db, request.app.state.settings
    if not settings.sends_mail:
        form.refuse("", _("This site sends no mail. Please ask the person who runs it."))
        return None
    client = auth.client_info(request)
    try:
        await rate_limits.count(db, settings, *rate_limits.email(kind, recipient, client.client_ip))
    except TooOften as refused:
        await release(db)
        events.refused(Refusal.EMAIL_THROTTLED, client, user_id=user_id, typed=recipient, letter=kind)
        form.refuse_for_now(await _words(db, settings, kind, recipient), TooOften(min(refused.seconds, LONGEST_WAIT)))
        return None
    is_delayed = await kinds.post(db, settings, kind, recipient, user_id=user_id, **parameters)
    await db.commit()
    return Sent(is_delayed)


async def _words(db: AsyncSession, settings: Settings, kind: str, recipient: str) -> str:
    """The words for people who ask too often. They say that an email was asked for, not whether anybody got it."""
    again = _("You can ask again in %(wait)s.")
    sent_at = await rate_limits.last(db, settings, *rate_limits.email(kind, recipient)[0])
    lifetime = REGISTER_LIFETIME if kind == "register" else timedelta(minutes=settings.reset_token_minutes)
    if sent_at is None or sent_at + lifetime <= now():
        return again
    words = _("The email of %(time)s still works (that time is UTC), if there is such an account.")
    return f"{words % {'time': f'{sent_at:%H:%M}'}} {again}"


def with_codes(words: str, ended: Ended) -> str:
    """The given words and, if recovery codes ended, too, that they did."""
    more = _("Your recovery codes stopped working too; you can make new ones in your settings.")
    return f"{words} {more}" if ended.codes else words


def bad(request: Request, refused: Refused, kind: str, page: str = "") -> Response:
    """Notes that a link was refused, and says why; `page` is the path of the link's own page, if this is another."""
    if request.method == "POST":  # a look alone is no attempt
        events.refused(Refusal.LINK, auth.client_info(request), link=kind, reason=refused.reason)
    if request.method == "POST" and request.headers.get("hx-request"):
        return pages.redirect(request, page or request.url.path)  # the page says what is wrong
    return bad_page(request, refused, kind, Form(RenewResetLink), None)


def bad_page(request: Request, refused: Refused, kind: str, form: Form[RenewResetLink], sent: Sent | None) -> Response:
    code = 200 if sent else form.status if form.errors else 404 if isinstance(refused, TokenMalformed) else 410
    return pages.render(
        request,
        "authentication/bad_link.html",
        part="panel",
        form=form,
        status=code,
        reason=refused.reason,
        minutes=refused.minutes,
        kind=kind,
        token=request.path_params["token"],
        sent=sent,
    )
