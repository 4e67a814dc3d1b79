"""Reply to a post, find the post a reply belongs to, and see who mentioned, answered or followed you."""

from dataclasses import replace

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from webapp import rate_limits
from webapp.accounts import sessions
from webapp.authentication.auth import login_required
from webapp.database import now
from webapp.i18n import gettext as _
from webapp.people import follows
from webapp.posts import posts, text, timeline
from webapp.posts.timeline import Card
from webapp.posts.views import Write, gone
from webapp.web import pages
from webapp.web.forms import Form, number_in_query
from webapp.web.limits import limited


async def find_post(request: Request) -> Response:
    """Redirects to the page of a post, given only its number."""
    card = await _found(request)
    if card is None:
        raise HTTPException(404)
    return pages.redirect(request, _page_of(card))


@login_required
async def mentions(request: Request) -> Response:
    """Who mentions and answers you, and who has followed you since you last looked. Opening the page marks all as
    seen.
    """
    me, before = request.state.user, number_in_query(request, "before", timeline.LAST)
    if me.news and before == timeline.LAST and request.method == "GET":
        await _note_seen(request)
    db, most = request.state.db, request.app.state.settings.posts_per_page
    since = me.mentions_seen_at if before == timeline.LAST else now()
    new, page = await timeline.about(db, me.id, most, before, since)
    people = await follows.followers(db, me.id, me.id) if before == timeline.LAST else []
    return pages.render(
        request,
        "conversations/mentions.html",
        part="posts",
        page=page,
        new=new,
        people=[one for one in people if one.created_at > since],
        most_people=follows.PAGE,
    )


async def _note_seen(request: Request) -> None:
    """Records the visit before the page is made, in a transaction of its own, because a GET only reads."""
    async with request.app.state.database.session(is_writing=True) as db:
        await sessions.note_mentions_seen(db, request.state.user.id)
        await db.commit()


@login_required
async def reply(request: Request) -> Response:
    """The post to answer, and the form, which begins with its author's name."""
    answered, me = await _found(request), request.state.user
    if answered is None:
        return await gone(request)
    begin = f"@{answered.username} " if answered.author_id != me.id else ""
    form = await Form.of(request, Write, body=begin)
    above = await _thread_start(request, answered) if form.is_valid else answered
    number = await _written(request, form, answered, above) if form.is_valid else None
    if number:
        return pages.redirect(request, f"{_page_of(above)}#post-{number}", flash=_("Reply posted."))
    return pages.render(
        request,
        "conversations/reply.html",
        part="panel",
        form=form,
        card=answered,
        most_characters=text.MOST_CHARACTERS,
    )


@limited(rate_limits.POSTS)
async def _written(request: Request, form: Form[Write], answered: Card, above: Card) -> int:
    """Adds the reply; returns its number."""
    db, settings = request.state.db, request.app.state.settings
    answered = replace(answered, reply_to_id=above.id)
    number = await posts.write(db, settings, request.state.user.id, form.data.body, answered)
    await db.commit()
    return number


async def _thread_start(request: Request, answered: Card) -> Card:
    """The post that a reply to this one goes under: the first of the thread, if the writer can see it."""
    if answered.reply_to_id is None:
        return answered
    return await timeline.one(request.state.db, answered.reply_to_id, viewer_id=request.state.user.id) or answered


async def _found(request: Request) -> Card | None:
    """The post in the path, if this reader can see it."""
    user, is_public = request.state.user, request.app.state.settings.public_profiles
    viewer_id = user.id if user else None
    card = await timeline.one(request.state.db, request.path_params["post_id"], viewer_id=viewer_id)
    return card if card and (user or (card.is_public and is_public)) else None


def _page_of(card: Card) -> str:
    return f"/user/{card.username}/{card.id}"
