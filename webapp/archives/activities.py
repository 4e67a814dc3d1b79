"""A person and their posts in ActivityStreams 2.0 (W3C), as Mastodon's own archive has them."""

from datetime import UTC, datetime
from typing import Any

from webapp.accounts.models import User
from webapp.posts import text
from webapp.settings import Settings

CONTEXT = "https://www.w3.org/ns/activitystreams"
PUBLIC = f"{CONTEXT}#Public"


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


def create(settings: Settings, user: User, post_id: int, body: str, created_at: datetime) -> dict[str, Any]:
    """One of outbox.json's activities. Beside the HTML stands what was typed (ActivityPub, 3.3, `source`)."""
    person = f"{settings.base_url}/user/{user.username}"
    url, published, to = f"{person}/{post_id}", moment(created_at), [PUBLIC]
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
        "content": f"<p>{text.markup(body, ())}</p>",
        "source": {"content": body, "mediaType": "text/plain"},
        "attachment": [],
        "tag": [],
    }
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
    """With its microseconds, so that what comes in again is known (RFC 3339)."""
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")
