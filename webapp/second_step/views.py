"""The page of the second step, and the waiting room: ask for a link, begin to wait, stop it."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from webapp import rate_limits
from webapp.accounts import users
from webapp.accounts.models import User
from webapp.accounts.sessions import SessionUser
from webapp.accounts.tokens import Purpose, TokenInvalid, TokenUsed
from webapp.authentication import auth, email_links, proof
from webapp.factors import methods, removal
from webapp.factors import second_step as steps
from webapp.factors.models import PendingLogIn
from webapp.i18n import gettext as _
from webapp.second_step.forms import SecondStep
from webapp.web import cookies, pages
from webapp.web.forms import EmptyForm, Form
from webapp.web.limits import too_often


async def second_step(request: Request) -> Response:
    """After the right password, if the account has a second factor: a right answer opens the session.

    The page lists what answers it: the account's `methods.Methods`.
    """
    form = await Form.of(request, SecondStep)
    came_for = pages.local_path(form.values["next"] or request.query_params.get("next", ""))
    waiting = await auth.pending_log_in(request)
    if waiting is None:
        return _start_again(request)
    pending, user = waiting
    response = await _answered(request, form, pending, user, came_for) if form.is_valid else None
    if response:
        return response
    return await _page(request, form, user, came_for)


async def lost_second_step(request: Request) -> Response:
    """Emails a link to the waiting room to an account that is at its second step, or logged in."""
    form = await Form.read(request, EmptyForm)
    here: SessionUser | User | None = request.state.user
    if here is None and (waiting := await auth.pending_log_in(request)):
        here = waiting[1]
    if here is None:
        return _start_again(request)
    sent = await email_links.send(request, form, "factor_removal_link", f"lost {here.id}", here.id, epoch=here.epoch)
    if sent:
        return email_links.check_email(request, sent)
    page = "remove_authenticator_app" if request.state.user else "second_step"
    return pages.redirect(request, request.app.url_path_for(page), flash=form.errors[""], kind="error")


async def factor_removal(request: Request) -> Response:
    """Behind the link for a person who has lost their factors: a button, and then some days of waiting."""
    form = await Form.of(request, EmptyForm)
    try:
        user = await _owner(request, Purpose.FACTOR_REMOVAL)
    except TokenInvalid as refused:
        return email_links.bad(request, refused, "factor_removal")
    is_begun = form.is_valid and (removal.is_waiting(user) or await _begun(request, form, user))
    if is_begun:
        return pages.redirect(request, request.url.path)
    return _waiting_page(request, form, user, "second_step/factor_removal.html")


async def keep_factors(request: Request) -> Response:
    """Behind the link in every email about a wait: the button that stops it, whoever is logged in."""
    form = await Form.of(request, EmptyForm)
    try:
        user = await _owner(request, Purpose.KEEP_FACTORS)
    except TokenInvalid as refused:
        return email_links.bad(request, refused, "keep_factors")
    if form.is_valid:
        db, settings, client = request.state.db, request.app.state.settings, auth.client_info(request)
        is_stopped = await removal.stop(db, settings, user, client)
        await db.commit()
        words = _("Stopped. Your ways to log in stay as they are.") if is_stopped else None
        return pages.redirect(request, request.url.path, flash=words)  # whole: at its top it says what was to come
    has_second_step = await methods.has_second_step(request.state.db, user.id)
    return _waiting_page(request, form, user, "second_step/keep_factors.html", has_second_step=has_second_step)


async def _begun(request: Request, form: Form[EmptyForm], user: User) -> bool:
    """Starts the clock, or says in the form that this was too often."""
    db = request.state.db
    if await too_often(request, form, (rate_limits.FACTOR_REMOVAL, request.path_params["token"])):
        return False
    await removal.ask(db, request.app.state.settings, user, auth.client_info(request))
    await db.commit()
    return True


async def _answered(
    request: Request, form: Form[SecondStep], pending: PendingLogIn, user: User, came_for: str
) -> Response | None:
    """Opens the session, or says in the form why not. The code is spent in the same transaction."""
    db = request.state.db
    second = await proof.try_code(request, form, user, form.data.code)
    if not second:
        return None
    if not await steps.finish(db, pending):
        return _start_again(request)
    response = pages.redirect(request, came_for)
    trusts = bool(form.data.trust)
    await auth.log_in(request, response, user, is_remembered=pending.is_remembered, second=second, trusts=trusts)
    cookies.delete(request, response, auth.PENDING_COOKIE)
    await db.commit()
    return response


def _start_again(request: Request) -> Response:
    response = pages.redirect(request, "/login", flash=_("That took too long. Log in again."), kind="notice")
    cookies.delete(request, response, auth.PENDING_COOKIE)
    return response


async def _page(request: Request, form: Form[SecondStep], user: User, came_for: str) -> Response:
    return pages.render(
        request,
        "second_step/second_step.html",
        part="form",
        form=form,
        username=user.username,
        ways=await methods.of(request.state.db, user.id),
        next="" if came_for == "/" else came_for,
        days=request.app.state.settings.factor_removal_days,
    )


async def _owner(request: Request, purpose: Purpose) -> User:
    """The person whose link it is. Raises TokenInvalid: it is used up when the account leaves its epoch, which ends the
    wait, too.
    """
    db, settings = request.state.db, request.app.state.settings
    user, claim = await users.of_unused_link(db, settings, purpose, request.path_params["token"])
    if purpose is Purpose.FACTOR_REMOVAL and not await methods.has_second_step(db, user.id):
        raise TokenUsed(claim)
    return user


def _waiting_page(request: Request, form: Form[EmptyForm], user: User, template: str, **more: Any) -> Response:
    return pages.render(
        request,
        template,
        part="panel",
        form=form,
        username=user.username,
        due=user.factor_removal_due_at,
        days=request.app.state.settings.factor_removal_days,
        token=request.path_params["token"],
        **more,
    )
