"""The pages of posts: home, explore, a profile, a single post; and writing."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from webapp import rate_limits
from webapp.accounts.models import User
from webapp.authentication.auth import login_required
from webapp.i18n import gettext as _
from webapp.i18n import ngettext
from webapp.people import follows
from webapp.people.follows import Seen
from webapp.posts import posts, statements, text, timeline
from webapp.posts.timeline import Card
from webapp.web import drafts, pages
from webapp.web.database_session import SAFE_METHODS
from webapp.web.forms import Form, Longest, number_in_query, typed
from webapp.web.limits import limited

MOST_TO_BEGIN_WITH = 5


class Write(BaseModel):
    body: Annotated[str, Longest(text.MOST_CODE_POINTS, said=text.MOST_CHARACTERS), AfterValidator(text.clean)]


async def home(request: Request) -> Response:
    """For strangers the front door; for others their timeline."""
    is_stranger = request.state.user is None and request.method in SAFE_METHODS
    return await (_front_door if is_stranger else _timeline)(request)


async def _front_door(request: Request) -> Response:
    """What this place is, the newest posts that strangers may read, and the way in."""
    is_public = request.app.state.settings.public_profiles
    page = await timeline.explore(request.state.db, _most(request), viewer_id=None) if is_public else None
    return pages.render(request, "posts/front_door.html", page=page)


@login_required
async def _timeline(request: Request) -> Response:
    """Posts by the people you follow, and the form to write one."""
    form = await Form.of(request, Write)
    db, user = request.state.db, request.state.user
    post_id = await _written(request, form) if form.is_valid else None
    if post_id and not pages.asks_for_part(request):
        return pages.redirect(request, "/", flash=_("Posted."))
    if request.method == "POST" and pages.asks_for_part(request):
        card = await timeline.one(db, post_id, viewer_id=user.id) if post_id else None
        shown = Form(Write) if post_id else form
        return pages.render(request, "posts/_written.html", part="written", form=shown, card=card, **_composer())
    page = await timeline.home(db, user.id, _most(request), _before(request))
    is_whole = _before(request) == timeline.LAST and page.older is None
    is_new = is_whole and all(card.author_id == user.id for card in page.cards)
    people = await timeline.people_to_follow(db, user.id, MOST_TO_BEGIN_WITH) if is_new else []
    return pages.render(
        request, "posts/home.html", part="posts", form=form, page=page, newcomers_people=people, **_composer()
    )


async def gone(request: Request) -> Response:
    """For what was sent about a post that isn't there any more. The words that somebody wrote are in the form at home,
    to be posted by themselves or not. Raises HTTPException if there are none.
    """
    words = _("That post is gone. What you wrote is in the form, in case you want to post it by itself.")
    response, sent = pages.redirect(request, "/", flash=words, kind="notice"), typed(request)
    if not drafts.keep(request, response, "/", {"body": sent.get("body", "")}):
        raise HTTPException(404)
    return response


async def explore(request: Request) -> Response:
    """Everybody's posts; for strangers, those they may read."""
    user = request.state.user
    if user is None and not request.app.state.settings.public_profiles:
        return pages.redirect(request, "/login?next=/explore")
    page = await timeline.explore(request.state.db, _most(request), _before(request), viewer_id=_viewer_id(request))
    return pages.render(request, "posts/explore.html", part="posts", page=page)


async def profile(request: Request) -> Response:
    """A person and their posts; if the viewer has blocked them, only a way to undo that."""
    db, seen = request.state.db, await _seen(request)
    if seen.relation.is_blocked:
        return pages.render(request, "posts/blocked.html", person=seen.person)
    before = number_in_query(request, "before", timeline.LAST, is_signed=True)
    page = await timeline.of(db, seen.person.id, _most(request), before, viewer_id=_viewer_id(request))
    return pages.render(
        request,
        "posts/profile.html",
        part="posts",
        person=seen.person,
        about=text.markup(seen.person.about_me, ()),
        counts=seen.counts,
        relation=seen.relation,
        page=page,
    )


async def post(request: Request) -> Response:
    """A single post, and the replies under it. Its author still sees it for a moment after deleting it."""
    username, post_id = request.path_params["username"], request.path_params["post_id"]
    db, user, viewer_id = request.state.db, request.state.user, _viewer_id(request)
    card = await timeline.one(db, post_id, viewer_id=viewer_id)
    if card and card.username.lower() == username.lower() and (user or _is_for_strangers(request, card)):
        after = number_in_query(request, "after", 0)
        below = await timeline.replies(db, card.id, _most(request), after, viewer_id=viewer_id)
        return pages.render(request, "posts/post.html", part="replies", card=card, replies=below, after=after)
    if user and await posts.is_restorable(db, user.id, post_id):
        return pages.render(request, "posts/deleted.html", post_id=post_id)
    raise HTTPException(404)


@login_required
async def news(request: Request) -> Response:
    """How many posts are newer than those on the page. The page asks from time to time."""
    db, user, after = request.state.db, request.state.user, number_in_query(request, "after", 0)
    is_home = request.query_params.get("of") != "explore"
    count = await (timeline.news_at_home if is_home else timeline.news_to_explore)(db, user.id, after)
    return pages.render(
        request,
        "posts/news.html",
        part="news",
        count=count,
        words=_news(count),
        here_path="/" if is_home else "/explore",
    )


def _news(count: int) -> str:
    if count >= statements.MOST_NEWS:
        return _("More than %(count)s new posts") % {"count": statements.MOST_NEWS - 1}
    return ngettext("%(count)s new post", "%(count)s new posts", count) % {"count": count}


@limited(rate_limits.POSTS)
async def _written(request: Request, form: Form[Write]) -> int:
    """Adds the post; returns its number."""
    db, settings = request.state.db, request.app.state.settings
    post_id = await posts.write(db, settings, request.state.user.id, form.data.body)
    await db.commit()
    return post_id


async def _seen(request: Request) -> Seen:
    """The person in the path; 404 if there is none, they are disabled, hide from a stranger, or block the viewer."""
    user = request.state.user
    seen = await follows.seen(request.state.db, request.path_params["username"], user.id if user else 0)
    if seen is None or seen.person.disabled_at is not None or seen.relation.is_gone:
        raise HTTPException(404)
    if not user and not _is_for_strangers(request, seen.person):
        raise HTTPException(404)
    return seen


def _is_for_strangers(request: Request, whose: User | Card) -> bool:
    return whose.is_public and request.app.state.settings.public_profiles


def _viewer_id(request: Request) -> int | None:
    return request.state.user.id if request.state.user else None


def _composer() -> dict[str, Any]:
    return {"most_characters": text.MOST_CHARACTERS}


def _most(request: Request) -> int:
    most: int = request.app.state.settings.posts_per_page
    return most


def _before(request: Request) -> int:
    return number_in_query(request, "before", timeline.LAST)
