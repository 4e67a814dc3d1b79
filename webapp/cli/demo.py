"""A small made-up community for a development site: people, and three weeks of their posts.

It is the same every time, except that it always ends a few minutes ago.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts.models import User
from webapp.cli import Refused
from webapp.database import now
from webapp.i18n import gettext as _
from webapp.imports import import_users
from webapp.moderation import reports
from webapp.passwords.hasher import Hasher
from webapp.people import follows
from webapp.posts import posts, text
from webapp.settings import DEVELOPMENT_HOST, Settings

COMMUNITY = Path(__file__).with_name("community.toml")
COMMUNITIES = {"en": COMMUNITY, "ru": Path(__file__).with_name("community.ru.toml")}
MORNING = timedelta(hours=6)  # when everybody joined
BETWEEN_FOLLOWS = timedelta(hours=7)


@dataclass(frozen=True)
class Filled:
    """The people you can log in as: the admin first, all with the same password."""

    names: list[str]
    password: str
    admin: str

    def how_to_log_in(self) -> list[str]:
        first, *others = self.names
        who = _("%(name)s (the admin)") % {"name": first} if first == self.admin else first
        if others:
            line = _("Log in as %(name)s, or as %(others)s.") % {"name": who, "others": ", ".join(others)}
        else:
            line = _("Log in as %(name)s.") % {"name": who}
        return [line, _("The password: %(password)s") % {"password": self.password}]


@dataclass(frozen=True)
class _Post:
    when: datetime
    name: str
    body: str


async def is_empty(db: AsyncSession) -> bool:
    """Whether nobody has an account yet."""
    return (await db.exec(select(User.id).limit(1))).first() is None


async def fill(db: AsyncSession, settings: Settings, language: str = "en") -> Filled:
    """Adds the whole community of a language, or raises Refused; nobody is sent an email. The caller commits."""
    if not settings.development:
        raise Refused(_("The demo is for a site on your own machine, as `make run` serves it. This one is deployed."))
    if not await is_empty(db):
        raise Refused(_("The demo needs an empty database, and this one already has people in it."))
    community, moment = _community(language), now()
    said = sorted(_said(community["said"], moment), key=lambda one: one.when)
    people = await _add_accounts(db, community, moment, language)
    await _add_follows(db, community["people"], people, moment)
    numbers = [await posts.add(db, people[one.name], text.clean(one.body), one.when) for one in said]
    await _set_last_seen(db, people, said)
    complaint = community["complaint"]
    await reports.file(db, numbers[complaint["about"] - 1], people[complaint["by"]], complaint["reason"])
    names = list(people)
    return Filled(names, community["password"], admin=names[0])


async def find(db: AsyncSession) -> Filled | None:
    """The demo people who are here and still have the demo password; None if nobody is."""
    for language in COMMUNITIES:
        if filled := await _find(db, _community(language)):
            return filled
    return None


async def _find(db: AsyncSession, community: dict[str, Any]) -> Filled | None:
    addresses = {_address(each, community): each["name"] for each in community["people"]}
    rows = await db.exec(select(User.username, User.email, User.password_hash).where(col(User.email).in_(addresses)))
    hashes = {name: password_hash for name, email, password_hash in rows if addresses[email] == name}
    hasher, password = Hasher(), community["password"]
    unchanged = {each for each in set(hashes.values()) if await hasher.is_right(db, password, each)}
    names = [name for name in addresses.values() if hashes.get(name) in unchanged]
    return Filled(names, password, admin=community["people"][0]["name"]) if names else None


def _community(language: str) -> dict[str, Any]:
    return tomllib.loads(COMMUNITIES[language].read_text("utf-8"))


async def _add_accounts(db: AsyncSession, community: dict[str, Any], moment: datetime, language: str) -> dict[str, int]:
    """Adds the accounts, all with one hash so that nobody waits for twelve; returns their ids by name."""
    password_hash = await Hasher().hash(db, community["password"])
    accounts = []
    for each in community["people"]:
        account = import_users.account_of(each["name"], _address(each, community), password_hash, ())
        is_public = each.get("is_public", True)
        profile = {"about_me": each["about"], "is_public": is_public, "created_at": _joined(each, moment)}
        accounts.append(account._replace(profile={**profile, "language": language}))
    await import_users.insert(db, accounts)
    return dict((await db.exec(select(User.username, col(User.id)).order_by(col(User.id)))).all())


def _joined(person: dict[str, Any], moment: datetime) -> datetime:
    return _midnight(moment) - timedelta(days=person["joined"]) + MORNING


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _address(person: dict[str, Any], community: dict[str, Any]) -> str:
    return DEVELOPMENT_HOST if person["name"] == community["people"][0]["name"] else f"{person['name']}@example.com"


async def _add_follows(
    db: AsyncSession, community: list[dict[str, Any]], people: dict[str, int], moment: datetime
) -> None:
    """Everybody follows people one after the other, from the day when both are here."""
    joined = {each["name"]: _joined(each, moment) for each in community}
    for each in community:
        for count, followed in enumerate(each["follows"], 1):
            since = max(joined[each["name"]], joined[followed]) + count * BETWEEN_FOLLOWS
            await follows.follow(db, people[each["name"]], people[followed], since)


def _said(said: dict[str, list[list[str]]], moment: datetime) -> Iterator[_Post]:
    for when, name, body in said["posts"]:
        days, _space, clock = when.partition(" ")
        yield _Post(_midnight(moment) - timedelta(days=int(days)) + _duration(clock), name, body)
    for ago, name, body in said["lately"]:
        yield _Post(moment - _duration(ago), name, body)


def _duration(clock: str) -> timedelta:
    hours, minutes = clock.split(":")
    return timedelta(hours=int(hours), minutes=int(minutes))


async def _set_last_seen(db: AsyncSession, people: dict[str, int], said: list[_Post]) -> None:
    """Everybody was last seen a few minutes after their last post."""
    for name, number in people.items():
        last = max(one.when for one in said if one.name == name)
        await db.exec(update(User).where(col(User.id) == number).values(last_seen_at=last + timedelta(minutes=5)))
