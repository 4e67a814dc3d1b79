"""Mute, unmute, block and unblock people, and the page that lists them."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from webapp import rate_limits
from webapp.accounts import users
from webapp.accounts.models import User
from webapp.authentication.auth import login_required
from webapp.i18n import gettext as _
from webapp.people import blocks
from webapp.people.forms import PersonButton, way_back
from webapp.web import errors, pages
from webapp.web.forms import EmptyForm, Form
from webapp.web.limits import View, limited

Change = Callable[[AsyncSession, int, int], Awaitable[None]]


@login_required
async def muted_and_blocked(request: Request) -> Response:
    db, me = request.state.db, request.state.user
    muted, blocked = await blocks.muted(db, me.id), await blocks.blocked(db, me.id)
    return pages.render(
        request,
        "blocking/muted_and_blocked.html",
        muted=muted[: blocks.MOST_LISTED],
        blocked=blocked[: blocks.MOST_LISTED],
        has_more=max(len(muted), len(blocked)) > blocks.MOST_LISTED,
    )


def about_another(view: Callable[[Request, User], Awaitable[Response]]) -> View:
    """Gives a view the person in the path. Answers 404 if the viewer can't see them, and a sentence if it is
    themselves.
    """

    @login_required
    @wraps(view)
    async def guarded(request: Request) -> Response:
        await Form.of(request, EmptyForm)  # the body goes before the first statement
        db, me = request.state.db, request.state.user
        person = await users.named(db, request.path_params["username"])
        if person is None or person.disabled_at is not None:
            raise HTTPException(404)
        if person.id == me.id:
            return errors.page(request, 400, _("That's you."))
        if (await blocks.relation(db, me.id, person.id)).is_gone:
            raise HTTPException(404)
        return await view(request, person)

    return guarded


@about_another
async def mute(request: Request, person: User) -> Response:
    return await _turn_mute(request, person, is_wanted=True)


@about_another
async def unmute(request: Request, person: User) -> Response:
    return await _turn_mute(request, person, is_wanted=False)


@about_another
async def block(request: Request, person: User) -> Response:
    """Says what a block does, and does it."""
    form = await Form.of(request, EmptyForm)
    if form.is_valid and await _done(request, form, person, blocks.block):
        return pages.redirect(request, f"/user/{person.username}")
    return pages.render(request, "blocking/block.html", part="panel", form=form, person=person)


@about_another
async def unblock(request: Request, person: User) -> Response:
    form = await Form.read(request, PersonButton)
    if not await _done(request, form, person, blocks.unblock):
        return errors.page(request, 429, form.errors[""], form.headers)
    if pages.asks_for_part(request):
        return pages.render(request, "blocking/_unblocked.html", part="done", username=person.username)
    words = _("%(username)s is no longer blocked.") % {"username": person.username}
    return pages.redirect(request, way_back(form, person), flash=words)


async def _turn_mute(request: Request, person: User, *, is_wanted: bool) -> Response:
    """Mutes or unmutes. Pressing twice is pressing once."""
    form = await Form.read(request, PersonButton)
    is_done = await _done(request, form, person, blocks.mute if is_wanted else blocks.unmute)
    if not pages.asks_for_part(request):
        if not is_done:
            return errors.page(request, 429, form.errors[""], form.headers)
        return pages.redirect(request, way_back(form, person))
    return pages.render(
        request,
        "blocking/_muted.html",
        part="button",
        status=200 if is_done else 429,
        headers=form.headers,
        username=person.username,
        is_muted=is_wanted if is_done else not is_wanted,
        next=way_back(form, person),
        refusal=form.errors.get("", ""),
    )


@limited(rate_limits.SMALL_CHANGES)
async def _done(request: Request, form: Form[Any], person: User, change: Change) -> bool:
    db, me = request.state.db, request.state.user
    await change(db, me.id, person.id)
    await db.commit()
    return True
