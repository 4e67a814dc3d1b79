"""Feeds of everybody and of one person. Whoever asks gets what strangers may read."""

import hashlib
from email.utils import format_datetime

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from webapp.accounts import users
from webapp.feeds import atom
from webapp.feeds.atom import Feed
from webapp.posts import timeline

MOST = 20
# The same for every reader and in every language, so caches may keep it.
KEPT = {"cache-control": "public, max-age=300"}


async def explore_feed(request: Request) -> Response:
    """The newest posts of everybody."""
    if not request.app.state.settings.public_profiles:
        raise HTTPException(404)
    page = await timeline.explore(request.state.db, MOST, only_public=True)
    settings = request.app.state.settings
    feed = Feed(settings.site_name, request.url.path, "/explore", page.cards, subtitle=settings.site_description)
    return _answer(request, feed)


async def profile_feed(request: Request) -> Response:
    """A person's newest posts; 404 if strangers may not read them."""
    db = request.state.db
    person = await users.named(db, request.path_params["username"])
    is_public = request.app.state.settings.public_profiles
    if person is None or person.disabled_at or not (person.is_public and is_public):
        raise HTTPException(404)
    page_path = f"/user/{person.username}"
    page = await timeline.of(db, person.id, MOST, only_public=True)
    title = f"{person.username} · {request.app.state.settings.site_name}"
    feed = Feed(title, f"{page_path}/feed.atom", page_path, page.cards, person.username, began=person.created_at)
    return _answer(request, feed)


def _answer(request: Request, feed: Feed) -> Response:
    """The feed, or 304 if it hasn't changed."""
    document = atom.write(feed, request.app.state.settings)
    etag = f'"{hashlib.sha256(document).hexdigest()[:32]}"'
    modified = format_datetime(feed.updated, usegmt=True)
    headers = KEPT | {"etag": etag, "last-modified": modified}
    if _is_known(request, etag, modified):
        return Response(status_code=304, headers=headers)
    return Response(document, media_type=atom.MEDIA_TYPE, headers=headers)


def _is_known(request: Request, etag: str, modified: str) -> bool:
    """Whether the reader already has this document (RFC 9110, section 13).

    Dates must be equal: when the newest post is deleted, the feed's date goes back.
    """
    known = request.headers.get("if-none-match")
    if known is None:
        return request.headers.get("if-modified-since") == modified
    return etag in {tag.strip().removeprefix("W/") for tag in known.split(",")} or known.strip() == "*"
