"""Make, list and revoke your invitations; and register through one, which proves the mailbox first."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from webapp import rate_limits
from webapp.accounts.tokens import Purpose, TokenInvalid, TokenUsed, verify
from webapp.audit import events
from webapp.audit.events import Event
from webapp.authentication import auth, email_links
from webapp.authentication.auth import login_required
from webapp.database import release
from webapp.i18n import gettext as _
from webapp.i18n import ngettext
from webapp.people import blocks
from webapp.registration import invites as members_invites
from webapp.registration import robots
from webapp.registration.forms import MakeInvite, Register
from webapp.registration.invites import Invitation, NoPlaces, NotLive
from webapp.registration.views import send_link
from webapp.web import pages
from webapp.web.forms import EmptyForm, Form
from webapp.web.limits import limited


@login_required
async def invites(request: Request) -> Response:
    _check_on(request)
    form = await Form.of(request, MakeInvite, places="1", days="7")
    if form.is_valid and await _made(request, form):
        return pages.redirect(request, request.url.path, flash=_("Your link is ready. Send it to anyone you like."))
    db, settings, me = request.state.db, request.app.state.settings, request.state.user
    return pages.render(
        request,
        "invitation_pages/invites.html",
        part="panel",
        form=form,
        listed=await members_invites.of(db, settings, me.id, me.epoch, blocks.not_blocked("user_account.id")),
        left=await members_invites.places_left(db, settings, me.id, me.epoch),
        most_days=members_invites.MOST_DAYS,
    )


@login_required
async def revoke_invite(request: Request) -> Response:
    _check_on(request)
    await Form.read(request, EmptyForm)
    db, me, invite_id = request.state.db, request.state.user, request.path_params["invite_id"]
    if not await members_invites.revoke(db, me.id, invite_id):
        raise HTTPException(404)
    await events.note(db, Event.INVITE_REVOKED, me.id, auth.client_info(request), invite=invite_id)
    await db.commit()
    return pages.redirect(request, request.app.url_path_for("invites"), flash=_("Revoked. The link no longer works."))


async def invitation(request: Request) -> Response:
    """The page behind an invitation's link, which asks for an email address. No place is taken until the account is
    made.
    """
    form = await Form.of(request, Register, email=email_links.typed_before(request))
    try:
        invited = await _invitation(request)
    except TokenInvalid as refused:
        return email_links.bad(request, refused, "invite")
    sent = await send_link(request, form, invited.id) if form.is_valid else None
    if sent:
        return email_links.check_email(request, sent)
    return pages.render(
        request,
        "invitation_pages/invitation.html",
        part="panel",
        form=form,
        inviter=invited.inviter,
        token=request.path_params["token"],
        seen=form.values["seen"] or robots.stamp(request.app.state.settings),
    )


@limited(rate_limits.INVITES)
async def _made(request: Request, form: Form[MakeInvite]) -> bool:
    """Adds the invitation. The limit counts in the same transaction, so a member makes one at a time."""
    db, settings, me, data = request.state.db, request.app.state.settings, request.state.user, form.data
    try:
        invite = await members_invites.make(db, settings, me.id, me.epoch, data.name, data.places, data.days)
    except NoPlaces as refused:
        await release(db)
        words = ngettext("You can invite %(num)s more person.", "You can invite %(num)s more people.", refused.left)
        form.refuse("places", words % {"num": refused.left})
        return False
    await events.note(db, Event.INVITE_MADE, me.id, auth.client_info(request), invite=invite.id, places=invite.places)
    await db.commit()
    return True


async def _invitation(request: Request) -> Invitation:
    """The invitation in the path. Raises TokenInvalid, also if a block hides its maker from the viewer."""
    settings, viewer = request.app.state.settings, request.state.user
    claim = verify(settings, Purpose.INVITE, request.path_params["token"])
    seen = blocks.not_blocked("user_account.id")
    try:
        return await members_invites.find(
            request.state.db, settings, int(claim.subject), seen, viewer.id if viewer else 0
        )
    except NotLive:
        raise TokenUsed(claim) from None


def _check_on(request: Request) -> None:
    if not members_invites.are_on(request.app.state.settings):
        raise HTTPException(404)
