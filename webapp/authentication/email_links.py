"""What is answered to who asks for an email, and to who follows a link that does not work."""

from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from webapp.accounts.tokens import Refused, TokenMalformed
from webapp.audit import events
from webapp.audit.events import Refusal
from webapp.authentication import auth, throttle
from webapp.authentication.forms import RenewResetLink
from webapp.database import release
from webapp.i18n import gettext as _
from webapp.rate_limits import TooOften
from webapp.web import pages
from webapp.web.forms import Form


class Sent(NamedTuple):
    """An email was posted. `is_delayed` is the same for everyone: whether emails are leaving at the moment."""

    is_delayed: bool

    def with_truth(self, words: str) -> str:
        """What was to be said, and that it will take longer if it will."""
        return f"{words} {_('Our mail is delayed at the moment; we keep trying.')}" if self.is_delayed else words


async def send(
    request: Request, form: Form[Any], kind: str, recipient: str, user_id: int | None = None, **parameters: Any
) -> Sent | None:
    """Posts an email, or says in the form why not. The same work, whoever is or is not behind the recipient."""
    settings, database = request.app.state.settings, request.app.state.database
    if not settings.sends_mail:
        form.refuse("", _("This site sends no mail. Please ask the person who runs it."))
        return None
    client = auth.client_info(request)
    await release(request.state.db)  # nobody holds one connection while waiting for another
    try:
        async with database.direct(is_writing=True) as db:
            is_delayed = await throttle.ask_for(
                db, settings, kind, recipient, client_ip=client.client_ip, user_id=user_id, **parameters
            )
            await db.commit()
    except TooOften as refused:
        events.refused(Refusal.EMAIL_THROTTLED, client, user_id=user_id, typed=recipient, letter=kind)
        form.refuse_for_now(_("You can ask again in %(seconds)s seconds."), refused.seconds)
        return None
    return Sent(is_delayed)


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
