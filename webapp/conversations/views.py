"""Reply to a post, and find the post under which a reply stands."""

from dataclasses import replace

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from webapp import rate_limits
from webapp.authentication.auth import login_required
from webapp.i18n import gettext as _
from webapp.posts import posts, text, timeline
from webapp.posts.timeline import Card
from webapp.posts.views import Write
from webapp.web import pages
from webapp.web.forms import Form
from webapp.web.limits import limited


async def find_post(request: Request) -> Response:
    """Redirects to the page of a post of which only the number is known."""
    return pages.redirect(request, _page_of(await _seen(request)))


@login_required
async def reply(request: Request) -> Response:
    """The post to answer, and the form, which begins with its author's name."""
    answered, me = await _seen(request), request.state.user
    begin = f"@{answered.username} " if answered.author_id != me.id else ""
    form = await Form.of(request, Write, body=begin)
    above = await _above(request, answered) if form.is_valid else answered
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


async def _above(request: Request, answered: Card) -> Card:
    """The post under which a reply to this stands: the first one, if it is there for whoever writes."""
    if answered.reply_to_id is None:
        return answered
    return await timeline.one(request.state.db, answered.reply_to_id, viewer_id=request.state.user.id) or answered


async def _seen(request: Request) -> Card:
    """The post in the path; 404 if this reader can't see it."""
    user, is_public = request.state.user, request.app.state.settings.public_profiles
    viewer_id = user.id if user else None
    card = await timeline.one(request.state.db, request.path_params["post_id"], viewer_id=viewer_id)
    if card is None or not (user or (card.is_public and is_public)):
        raise HTTPException(404)
    return card


def _page_of(card: Card) -> str:
    return f"/user/{card.username}/{card.id}"
