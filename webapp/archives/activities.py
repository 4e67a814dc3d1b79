"""A person and their posts in ActivityStreams 2.0 (W3C), in the form of Mastodon's own archive."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from webapp.accounts.models import User
from webapp.posts import text
from webapp.settings import Settings

CONTEXT = "https://www.w3.org/ns/activitystreams"
PUBLIC = f"{CONTEXT}#Public"


class ExportedPost(NamedTuple):
    """A post by the person the file is for."""

    id: int
    body: str
    created_at: datetime
    edited_at: datetime | None
    reply_to_id: int | None
    removed_because: str


def actor(settings: Settings, user: User) -> dict[str, Any]:
    """The content of actor.json."""
    url = f"{settings.base_url}/user/{user.username}"
    return {
        "@context": CONTEXT,
        "id": url,
        "type": "Person",
        "preferredUsername": user.username,
        "name": user.username,
        "summary": f"<p>{text.markup(user.about_me, ())}</p>" if user.about_me else "",
        "url": url,
        "published": moment(user.created_at),
        "outbox": "outbox.json",
    }


def create(settings: Settings, user: User, post: ExportedPost) -> dict[str, Any]:
    """One of outbox.json's activities. Beside the HTML it has the text as typed (ActivityPub, 3.3, `source`)."""
    person = f"{settings.base_url}/user/{user.username}"
    url, published, to = f"{person}/{post.id}", moment(post.created_at), [PUBLIC]
    note = {
        "id": url,
        "type": "Note",
        "summary": None,
        "inReplyTo": None,
        "published": published,
        "url": url,
        "attributedTo": person,
        "to": to,
        "cc": [f"{person}/followers"],
        "sensitive": False,
        "content": f"<p>{text.markup(post.body, ())}</p>",
        "source": {"content": post.body, "mediaType": "text/plain"},
        "attachment": [],
        "tag": [],
    }
    if post.edited_at:
        note["updated"] = moment(post.edited_at)
    return {
        "id": f"{url}/activity",
        "type": "Create",
        "actor": person,
        "published": published,
        "to": to,
        "cc": note["cc"],
        "object": note,
    }


def moment(when: datetime) -> str:
    """A time with microseconds, so that a post is recognised when it is imported again (RFC 3339)."""
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")
