"""The contents of account.json: everything that is stored about a person, table by table, and what is withheld and why.

A new table or column about a person must be named here; a test fails until it is.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Table, select
from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts.models import User
from webapp.archives.activities import moment
from webapp.database import execute, table
from webapp.people import blocks
from webapp.posts.models import Post
from webapp.posts.statements import shown

AT_ONCE = 400
# Of which table: what its part of the file is called, and the column that says whose a row is.
SECTIONS: dict[tuple[str, str], str] = {
    ("user_account", "id"): "profile",
    ("address_change", "user_id"): "email_changes",
    ("email_switch", "user_id"): "email_switches",
    ("kept_username", "user_id"): "earlier_usernames",
    ("session", "user_id"): "sessions",
    ("known_browser", "user_id"): "known_browsers",
    ("recovery_code", "user_id"): "recovery_codes",
    ("passkey", "user_id"): "passkeys",
    ("factor", "user_id"): "second_factors",
    ("pending_log_in", "user_id"): "unfinished_log_ins",
    ("security_event", "user_id"): "events",
    ("outbox_email", "user_id"): "emails",
    ("refused_address", "address"): "refused_emails",
    ("follow", "followed_id"): "followers",
    ("follow", "follower_id"): "following",
    ("mute", "muter_id"): "muted",
    ("block", "blocker_id"): "blocked",
    ("mention", "user_id"): "mentioned_in",
    ("report", "reporter_id"): "reports_made",
    ("account_export", "user_id"): "exports",
    ("archive_import", "user_id"): "imports",
    ("invite", "user_id"): "invitations",
    ("invite_use", "inviter_id"): "people_invited",
    ("invite_use", "user_id"): "invited_by",
    ("registration_request", "email"): "registration_requests",
}
# Columns that open something, or mean nothing to anybody.
WITHHELD = {
    "body": "of a report: the words of whoever was reported",
    "password_hash": "opens the account, if it is guessed",
    "token_hash": "of a session",
    "secret_hash": "of a known browser",
    "browser_mark": "of a known browser",
    "counted_as": "a number of ours",
    "code_hash": "opens the account, if it is guessed",
    "credential_id": "of a passkey",
    "public_key": "of a passkey",
    "handle": "of a passkey",
    "passkey_id": "a number of ours",
    "secret": "of a second factor",
    "sealed_with": "of a second factor",
    "last_step": "of a second factor",
    "spent_ahead": "of a second factor",
    "epoch": "a number of ours",
    "fence": "a number of ours",
    "leased_by": "a process of ours",
    "leased_until": "a process of ours",
    "message_id": "a number of ours",
    "crashes": "a number of ours",
    "username_key": "the username once more",
}
# Numbers of people, for whom their names stand in the file: of which column.
PEOPLE = {
    ("follow", "followed_id"): "follower_id",
    ("follow", "follower_id"): "followed_id",
    ("invite_use", "inviter_id"): "user_id",
    ("invite_use", "user_id"): "inviter_id",
    ("mute", "muter_id"): "muted_id",
    ("block", "blocker_id"): "blocked_id",
}

_users, _posts = table(User), table(Post)


async def sections(db: AsyncSession, user: User) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """The parts of the file, one after the other. Some people have fifty thousand followers: others get their turn."""
    for (name, owner), title in SECTIONS.items():
        rows = SQLModel.metadata.tables[name]
        whose = user.email if owner in {"address", "email"} else user.id
        other = PEOPLE.get((name, owner))
        query = _named(rows, rows.c[other]) if other else _whole(rows, owner)
        query = _of_seen_posts(query, rows) if name == "mention" else query
        found = await execute(db, query.where(rows.c[owner] == whose), {"viewer_id": user.id})
        part: list[dict[str, Any]] = []
        for some in found.partitions(AT_ONCE):
            part += [{key: _plain(value) for key, value in row._mapping.items()} for row in some]
            await asyncio.sleep(0)
        yield title, part


def _whole(rows: Table, owner: str) -> Any:
    """Every column except the withheld ones, and except the owner, who is the same everywhere in the file."""
    hidden = {*WITHHELD} if rows.name == "user_account" else {*WITHHELD, owner}
    columns: list[Any] = [column for column in rows.columns if column.name not in hidden]
    return select(*columns)


def _named(rows: Table, other: Column[Any]) -> Any:
    """Who follows, or is followed, muted or blocked, by name: as on the site's own pages, without people who aren't to
    be seen.
    """
    query = select(_users.c.username, rows.c.created_at.label("since")).where(_users.c.disabled_at.is_(None))
    seen = query if rows.name == "block" else query.where(blocks.not_blocked("user_account.id"))
    return seen.join_from(rows, _users, _users.c.id == other).order_by(rows.c.created_at)


def _of_seen_posts(query: Any, rows: Table) -> Any:
    """Without mentions in posts that the person can't open: even a post's number says that it is there."""
    joined = query.join(_posts, _posts.c.id == rows.c.post_id).join(_users, _users.c.id == _posts.c.author_id)
    return joined.where(*shown(), _users.c.disabled_at.is_(None), blocks.not_blocked("post.author_id"))


def _plain(value: Any) -> Any:
    return moment(value) if isinstance(value, datetime) else value
