"""The feeds of everybody and of one person: what strangers may read; for a member, without people they don't see."""

import hashlib
from dataclasses import replace

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from webapp.feeds import atom
from webapp.feeds.atom import Feed
from webapp.people import blocks, follows
from webapp.posts import timeline
from webapp.posts.timeline import Card

MOST = 20
# The same for every stranger and in every language, so caches may keep it. It's no harm if a member gets that one.
KEPT = {"cache-control": "public, max-age=300"}


async def explore_feed(request: Request) -> Response:
    """The newest posts of everybody."""
    if not request.app.state.settings.public_profiles:
        raise HTTPException(404)
    page = await timeline.explore(request.state.db, MOST, viewer_id=None)
    settings, cards = request.app.state.settings, await _seen(request, page.cards)
    feed = Feed(settings.site_name, request.url.path, "/explore", cards, subtitle=settings.site_description)
    return _answer(request, feed)


async def profile_feed(request: Request) -> Response:
    """A person's newest posts; 404 if strangers may not read them."""
    viewer_id = request.state.user.id if request.state.user else None
    seen = await follows.seen(request.state.db, request.path_params["username"], viewer_id or 0)
    is_public = request.app.state.settings.public_profiles and seen is not None and seen.person.is_public
    if seen is None or not is_public or seen.person.disabled_at or seen.relation.has_block:
        raise HTTPException(404)
    person, page_path = seen.person, f"/user/{seen.person.username}"
    page = await timeline.of(request.state.db, person.id, MOST, viewer_id=viewer_id, links_public=True)
    title = f"{person.username} · {request.app.state.settings.site_name}"
    feed = Feed(title, f"{page_path}/feed.atom", page_path, page.cards, person.username, began=person.created_at)
    return _answer(request, feed)


async def _seen(request: Request, cards: list[Card]) -> list[Card]:
    """Without the posts and mentions of whom a member doesn't see."""
    if request.state.user is None or not cards:
        return cards
    names = {card.username.lower() for card in cards}.union(*(card.names for card in cards))
    hidden = await blocks.hidden(request.state.db, request.state.user.id, names)
    return [replace(card, names=card.names - hidden) for card in cards if card.username.lower() not in hidden]


def _answer(request: Request, feed: Feed) -> Response:
    """The feed, or 304 if the reader already has this document (RFC 9110, section 13).

    Only its tag says so. A date wouldn't: it stays the same when a post that isn't the newest is removed, or somebody
    hides, and who asked by it would go on showing that.
    """
    document = atom.write(feed, request.app.state.settings)
    etag = f'"{hashlib.sha256(document).hexdigest()[:32]}"'
    headers = {**({} if request.state.user else KEPT), "etag": etag}
    known = request.headers.get("if-none-match", "")
    if known.strip() == "*" or etag in {tag.strip().removeprefix("W/") for tag in known.split(",")}:
        return Response(status_code=304, headers=headers)
    return Response(document, media_type=atom.MEDIA_TYPE, headers=headers)
