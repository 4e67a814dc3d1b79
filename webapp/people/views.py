"""Who follows whom, and the buttons that change it."""

from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from webapp import rate_limits
from webapp.accounts.models import User
from webapp.authentication.auth import login_required
from webapp.i18n import gettext as _
from webapp.people import emails, follows, forms
from webapp.people.follows import Key, ListedPerson, Seen
from webapp.web import errors, pages
from webapp.web.forms import Form
from webapp.web.limits import limited


@login_required
async def follow(request: Request) -> Response:
    return await _turn(request, is_wanted=True)


@login_required
async def unfollow(request: Request) -> Response:
    return await _turn(request, is_wanted=False)


@login_required
async def followers(request: Request) -> Response:
    return await _people_page(request, "followers", follows.followers, _("%(name)s's followers"))


@login_required
async def following(request: Request) -> Response:
    return await _people_page(request, "following", follows.following, _("People %(name)s follows"))


async def _turn(request: Request, *, is_wanted: bool) -> Response:
    """Follows or unfollows. Pressing twice is like pressing once."""
    form, person, me = await Form.read(request, forms.PersonButton), (await _seen(request)).person, request.state.user
    if person.id == me.id:
        return errors.page(request, 400, _("That's you. You can follow everybody else."))
    if not await _turned(request, form, person, is_wanted=is_wanted):
        return await _refused(request, form, await _seen(request))
    if pages.asks_for_part(request):
        return await _button(request, form, person, is_followed=is_wanted)
    return pages.redirect(request, forms.way_back(form, person))


@limited(rate_limits.FOLLOWS)
async def _turned(request: Request, form: Form[forms.PersonButton], person: User, *, is_wanted: bool) -> bool:
    db, settings, me = request.state.db, request.app.state.settings, request.state.user
    if not is_wanted:
        await follows.unfollow(db, me.id, person.id)
    elif since := await follows.follow(db, me.id, person.id):
        await emails.tell_of_follower(db, settings, person, me.id, since)
    await db.commit()
    return True


async def _refused(request: Request, form: Form[forms.PersonButton], seen: Seen) -> Response:
    if pages.asks_for_part(request):
        return await _button(request, form, seen.person, is_followed=seen.relation.is_followed)
    return errors.page(request, 429, form.errors[""], form.headers)


async def _button(request: Request, form: Form[forms.PersonButton], person: User, *, is_followed: bool) -> Response:
    return pages.render(
        request,
        "people/_followed.html",
        part="button",
        form=form,
        username=person.username,
        is_followed=is_followed,
        next=forms.way_back(form, person),
        refusal=form.errors.get("", ""),
        followers=(await follows.counts(request.state.db, person.id, request.state.user.id)).followers,
    )


async def _people_page(
    request: Request, here: str, of: Callable[..., Awaitable[list[ListedPerson]]], heading: str
) -> Response:
    seen, path = await _seen(request), request.url.path
    people = await of(request.state.db, seen.person.id, request.state.user.id, _after(request))
    shown = people[: follows.PAGE]
    return pages.render(
        request,
        "people/neighbours.html",
        part="people",
        person=seen.person,
        people=shown,
        more=f"{path}?after={shown[-1].key}" if len(people) > len(shown) else None,
        counts=seen.counts,
        here=here,
        here_path=path,
        heading=heading % {"name": seen.person.username},
        nobody=_("Nobody yet."),
    )


async def _seen(request: Request) -> Seen:
    """The person in the path; 404 if there is none, they are disabled, or one of the two has blocked the other."""
    seen = await follows.seen(request.state.db, request.path_params["username"], request.state.user.id)
    if seen is None or seen.person.disabled_at is not None or seen.relation.has_block:
        raise HTTPException(404)
    return seen


def _after(request: Request) -> Key | None:
    text = request.query_params.get("after", "")
    key = Key.parse(text)
    if text and key is None:
        raise HTTPException(400)
    return key
