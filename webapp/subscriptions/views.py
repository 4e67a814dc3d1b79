"""The page with the emails you were sent and the switches, and the links that turn off one kind."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from webapp import rate_limits
from webapp.accounts import users
from webapp.accounts.tokens import Purpose, TokenGone, TokenInvalid, TokenMalformed, TokenUsed, read, was_mailed_to
from webapp.authentication import auth, email_links, proof
from webapp.authentication.auth import login_required, while_logged_in
from webapp.authentication.proof import proved
from webapp.i18n import gettext as _
from webapp.mail.kinds import KINDS
from webapp.notifications import history, switches
from webapp.subscriptions import choices, forms
from webapp.web import errors, pages
from webapp.web.forms import EmptyForm, Form
from webapp.web.limits import limited, too_often


@login_required
async def emails(request: Request) -> Response:
    """The emails that were sent, and switches for the optional ones."""
    db, user = request.state.db, request.state.user
    wanted = await switches.of(db, user.id)
    initial = {kind: "1" for kind, is_wanted in wanted.items() if is_wanted}
    form = await Form.of(request, forms.email_choices(list(wanted)), **initial)
    response = await _emails_chosen(request, form, wanted) if form.is_valid else None
    if response:
        return response
    sent = await history.latest(db, user.id)
    labels = [(kind, _(KINDS[kind].label)) for kind in wanted]
    return pages.render(request, "subscriptions/emails.html", part="form", form=form, sent=sent, switches=labels)


async def unsubscribe(request: Request) -> Response:
    """The page behind the unsubscribe link of an optional email. Emails about safety have none: turning them off takes
    the password.

    A POST turns it off whoever sends it, and whatever its body says: mail programs do this by themselves, without
    cookies (RFC 8058).
    """
    return await _choice(request, is_wanted=False)


async def subscribe_again(request: Request) -> Response:
    return await _choice(request, is_wanted=True)


async def _choice(request: Request, *, is_wanted: bool) -> Response:
    """Shows the choice that a link is about. A POST makes it first."""
    db, token, is_post = request.state.db, request.path_params["token"], request.method == "POST"
    try:
        claim, expired = read(request.app.state.settings, Purpose.UNSUBSCRIBE, token)
        user, kind = await users.get(db, int(claim.subject)), KINDS.get(claim.about)
        if user is None:
            raise TokenGone(claim)
        if expired:
            raise expired
        if kind is None or not kind.is_optional or kind.is_security:
            raise TokenMalformed
        is_owners = was_mailed_to(request.app.state.settings, claim, user.email)
        if is_wanted and not is_owners:
            raise TokenUsed(claim)
    except TokenInvalid as refused:
        return email_links.bad(request, refused, "unsubscribe")
    if is_post:
        form = Form(EmptyForm)
        if await too_often(request, form, (rate_limits.UNSUBSCRIBING, str(user.id))):
            return errors.page(request, 429, form.errors[""], form.headers)
        choice, client = {claim.about: is_wanted}, auth.client_info(request)
        await choices.choose(db, request.app.state.settings, user, choice, client)
        await db.commit()
    return pages.render(
        request,
        "subscriptions/unsubscribe.html",
        part="panel",
        username=user.username,
        label=_(kind.label),
        is_wanted=await switches.wants(db, user.id, claim.about),
        is_answer=is_post,
        may_undo=is_owners,
        token=token,
    )


async def _emails_chosen(request: Request, form: Form[Any], wanted: dict[str, bool]) -> Response | None:
    """Saves the switches, or says in the form why not. Emails about safety take the password."""
    chosen = {kind: bool(form.values[kind]) for kind in wanted}
    takes_password = any(wanted[kind] and not chosen[kind] and KINDS[kind].is_security for kind in wanted)
    if takes_password and not await proof.prove(request, form):
        return None
    return await _switched(request, form, chosen)


@proved
@limited(rate_limits.SWITCHES)
@while_logged_in
async def _switched(request: Request, form: Form[Any], chosen: dict[str, bool]) -> Response:
    db, settings, client = request.state.db, request.app.state.settings, auth.client_info(request)
    user = await users.owner(db, request.state.user.id)
    await choices.choose(db, settings, user, chosen, client)
    await db.commit()
    return pages.redirect(request, "/letters", flash=_("Saved. You'll only get the emails you want."))
