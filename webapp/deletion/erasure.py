"""Deletes accounts for good once nobody can undo it any more, a little at a time so that nobody waits.

What belongs to an account goes with it: table by table, the rows that refer to `user_account`, and then the account
itself. `_others` names everything else that holds something about a person.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Table, bindparam, delete, or_, select, text, tuple_, update
from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import rate_limits
from webapp.accounts.models import AccountDeletion, AddressChange, Session, User
from webapp.audit import events
from webapp.audit.models import FROM_NOWHERE, SecurityEvent
from webapp.database import Database, execute, now, table
from webapp.factors import second_step
from webapp.mail.kinds import KINDS
from webapp.mail.models import GIVEN_UP, OutboxEmail, RefusedAddress
from webapp.moderation import decided
from webapp.names import usernames
from webapp.names.usernames import KeptUsername
from webapp.registration.models import RegistrationRequest
from webapp.search import index
from webapp.settings import Settings

BATCH = 300

_accounts, _deletions = table(User), table(AccountDeletion)
_emails, _changes, _events = table(OutboxEmail), table(AddressChange), table(SecurityEvent)


class Erasure:
    """Deletes the accounts that are due. Any process may continue what another has begun."""

    name = "account_deletions"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # What to clean up once the accounts are gone; another process may have stopped before it did.
        self._words_merged, self._must_scrub = 0, True

    async def run_batch(self, database: Database) -> bool:
        """Deletes a batch of an account's rows, or the account. After the last, what is left in the log goes, too."""
        async with database.session(is_writing=True) as db:
            user_id = (await execute(db, _DUE, {"moment": now()})).scalar()
            if user_id is not None:
                await _erase_some(db, self._settings, user_id)
                await db.commit()
                self._words_merged, self._must_scrub = 0, True
                return True
        return await self._scrub(database) if self._must_scrub else False

    async def _scrub(self, database: Database) -> bool:
        """Removes what is gone from the search index, then from the log; returns whether there is more to do."""
        async with database.session(is_writing=True) as db:
            is_more = await index.forget(db, is_first=not self._words_merged)
            await db.commit()
        self._words_merged += 1
        if not is_more:
            self._must_scrub = not await database.scrub()
        return is_more


def belongings() -> list[tuple[Table, Column[Any]]]:
    """Each table whose rows go with an account, and the column that refers to it."""
    return [
        (each, key.parent)
        for each in SQLModel.metadata.sorted_tables
        for key in each.foreign_keys
        if key.column.table is _accounts and key.ondelete == "CASCADE" and each is not _deletions
    ]


async def _erase_some(db: AsyncSession, settings: Settings, user_id: int) -> None:
    """Deletes one batch from the first table that still has rows; the account itself once none has."""
    addresses = await _addresses(db, user_id)
    for rows, owner in belongings():
        if rows.name in _KEPT_TO_THE_END:
            continue
        key = tuple_(*rows.primary_key.columns)
        some = (await execute(db, select(*rows.primary_key.columns).where(owner == user_id).limit(BATCH))).all()
        if some:
            which = key.in_([tuple(row) for row in some])
            await decided.keep(db, rows, which, addresses)
            await execute(db, delete(rows).where(which))
            return
    emails = select(_emails.c.id).where(_emails.c.user_id == user_id).limit(BATCH)
    if ids := (await execute(db, emails)).scalars().all():
        await execute(db, delete(_emails).where(_emails.c.id.in_(ids)))
        return
    if not await _erase_events(db, settings, user_id, addresses):
        await _erase_account(db, settings, user_id, addresses)


async def _erase_events(db: AsyncSession, settings: Settings, user_id: int, addresses: set[str]) -> bool:
    """Deletes a batch of the account's events, and what was counted for it at the client IPs in them. There may be
    thousands: somebody who travels has another each day, and a thief as many as can be rented. False if none.
    """
    query = select(_events.c.id, _events.c.client_ip).where(_events.c.user_id == user_id).limit(BATCH)
    if some := (await execute(db, query)).all():
        names = await _names(db, user_id, addresses)
        await rate_limits.erase(db, settings, _counted_at(names, {client_ip for _id, client_ip in some}))
        await execute(db, delete(_events).where(_events.c.id.in_([event_id for event_id, _client_ip in some])))
    return bool(some)


async def _addresses(db: AsyncSession, user_id: int) -> set[str]:
    """The account's current address and those of its changes, without the ones that another account has."""
    own = select(_accounts.c.email).where(_accounts.c.id == user_id)
    changed = select(_changes.c.old_email, _changes.c.new_email).where(_changes.c.user_id == user_id)
    found = set((await execute(db, own)).scalars()) | {each for row in await execute(db, changed) for each in row}
    others = select(_accounts.c.email).where(_accounts.c.email.in_(found), _accounts.c.id != user_id)
    return found - set((await execute(db, others)).scalars())


async def _erase_account(db: AsyncSession, settings: Settings, user_id: int, addresses: set[str]) -> None:
    """Deletes the rest in one transaction. Until then the account's own row says what else is to go."""
    username = await _username(db, user_id)
    await _others(db, settings, user_id, username, addresses)
    await _retire(db, settings, user_id, username)
    await execute(db, delete(_accounts).where(_accounts.c.id == user_id))


async def _others(db: AsyncSession, settings: Settings, user_id: int, username: str, addresses: set[str]) -> None:
    """What doesn't refer to the account: emails, events, refusals, counts, others' failed changes to its addresses."""
    names = await _names(db, user_id, addresses)
    for with_recipient in (_emails.c.finished_at.is_(None), text(GIVEN_UP)):
        await execute(db, delete(_emails).where(_emails.c.recipient.in_(names), with_recipient))
    by_them, by_some = events.by_admin(username).user_agent, events.BY_SOME_ADMIN.user_agent
    as_admin = text(FROM_NOWHERE), _events.c.user_agent == by_them
    await execute(db, update(_events).where(*as_admin).values(user_agent=by_some))
    await execute(db, delete(table(RefusedAddress)).where(table(RefusedAddress).c.address.in_(addresses)))
    asked = table(RegistrationRequest)
    await execute(db, delete(asked).where(asked.c.email.in_(addresses)))
    of_others = or_(_changes.c.old_email.in_(addresses), _changes.c.new_email.in_(addresses))
    await execute(db, delete(_changes).where(of_others))
    await rate_limits.erase(db, settings, _counted(user_id, names) | _counted_at(names, await _client_ips(db, user_id)))


async def _names(db: AsyncSession, user_id: int, addresses: set[str]) -> set[str]:
    """All that may be typed for the account."""
    return {(await _username(db, user_id)).lower(), *addresses, *await _earlier_usernames(db, user_id)}


async def _username(db: AsyncSession, user_id: int) -> str:
    username: str = (await execute(db, select(_accounts.c.username).where(_accounts.c.id == user_id))).scalar_one()
    return username


async def _earlier_usernames(db: AsyncSession, user_id: int) -> dict[str, datetime]:
    """The usernames that are kept for the account, and until when."""
    kept = table(KeptUsername)
    earlier = await execute(db, select(kept.c.username_key, kept.c.kept_until).where(kept.c.user_id == user_id))
    return dict(earlier.all())


async def _client_ips(db: AsyncSession, user_id: int) -> set[str]:
    """Those of its sessions."""
    seen = select(table(Session).c.client_ip).where(table(Session).c.user_id == user_id)
    return set((await execute(db, seen)).scalars())


def _counted(user_id: int, names: set[str]) -> set[str]:
    """The keys under which rate limits count an account, wherever it is used."""
    alone = {str(user_id), second_step.behind_link(user_id), *names}
    return alone | {f"{kind} {name}" for kind in KINDS for name in names} | {f"{user_id} {name}" for name in names}


def _counted_at(names: set[str], client_ips: set[str]) -> set[str]:
    """Those for what was typed at some client IPs."""
    return {f"{name} {client_ip}" for name in names for client_ip in client_ips}


async def _retire(db: AsyncSession, settings: Settings, user_id: int, username: str) -> None:
    """Nobody can take the account's username for a year, or an earlier one for as long as it was reserved anyway."""
    names = {name: until for name, until in (await _earlier_usernames(db, user_id)).items() if until > now()}
    names[username.lower()] = now() + usernames.RETIRED
    for name, until in names.items():
        await usernames.retire(db, settings, name, until)


# These say whose the rest is.
_KEPT_TO_THE_END = {"session", "address_change", "kept_username"}
# What another process is erasing is left to it: on PostgreSQL they would wait for each other's rows, or find them gone.
_DUE = (
    select(_deletions.c.user_id)
    .where(_deletions.c.due_at <= bindparam("moment"))
    .order_by(_deletions.c.due_at)
    .limit(1)
    .with_for_update(skip_locked=True)
)
