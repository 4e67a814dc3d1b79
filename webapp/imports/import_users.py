"""Imports accounts from another site, as a CSV file.

All lines are checked before the first is added. Then they are added some hundreds at a time, so that the visitors of a
running site get their turn in between. An interrupted import can be run again, and continues where it stopped.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import reserved_emails, users
from webapp.accounts.models import User
from webapp.database import Database, execute, table
from webapp.i18n import N_, ngettext, number
from webapp.i18n import gettext as _
from webapp.imports import Refused, bulk, csv_rows
from webapp.imports.csv_rows import Row
from webapp.logs import printable, say
from webapp.names import identities, usernames
from webapp.passwords import hashes
from webapp.passwords.costs import remember_costs
from webapp.settings import Settings

MOST_PROBLEMS = 50
COLUMNS = ("username", "email", "password_hash")
LONGEST_QUOTE = 60
OVERTAKEN = N_(
    "Somebody on the site has just taken one of the usernames or addresses that are still to come."
    " Run the import again: it names the line. Those before it are imported."
)


def run(settings: Settings, file: Path) -> None:
    """Imports a file while the site runs, and says how many were added. Raises Refused."""
    rows = csv_rows.read(file, COLUMNS[:2], COLUMNS)
    asyncio.run(_import(settings, rows))


async def _import(settings: Settings, rows: Sequence[Row]) -> None:
    async with aclosing(Database(settings.database_url, is_patient=True)) as database:
        async with database.session() as db:
            taken = await TakenNames.read(db, settings)
        checked = check(rows, taken, settings.mail_local_domains)
        if checked.problems:
            raise Refused("\n".join([*_shortened(checked.problems), _("Nothing was imported.")]))
        await add_in_turns(database, checked.accounts)
    say(_summary(checked))


async def add_in_turns(database: Database, accounts: Sequence["NewAccount"]) -> None:
    """Adds accounts. Raises Refused: at once if the hashes have too many costs, later if somebody took a username."""
    async with database.session(is_writing=True) as db:
        await _remember(db, accounts)
        await db.commit()
    try:
        await bulk.in_turns(database, accounts, insert)
    except IntegrityError:
        raise Refused(_(OVERTAKEN)) from None


async def insert(db: AsyncSession, accounts: Sequence["NewAccount"]) -> None:
    """Adds accounts. Raises IntegrityError; and Refused if one of the addresses or usernames was reserved meanwhile."""
    if not accounts:
        return
    defaults = users.new("", "", "").model_dump(exclude={"id"})
    if any(account.profile for account in accounts):
        await execute(db, table(User).insert(), [{**defaults, **account.row} for account in accounts])
    else:
        await bulk.insert(db, table(User), NewAccount._fields[:4], [account[:4] for account in accounts], defaults)
    await _remember(db, accounts)
    emails, names = {account.email for account in accounts}, {account.username_key for account in accounts}
    if emails & await reserved_emails.held(db) or names & await usernames.held(db):
        raise Refused(_(OVERTAKEN))


async def _remember(db: AsyncSession, accounts: Sequence["NewAccount"]) -> None:
    hashes_ = (account.password_hash for account in accounts if account.password_hash != users.NO_PASSWORD)
    try:
        await remember_costs(db, hashes_)
    except ValueError as too_many:
        raise Refused(str(too_many)) from None


class NewAccount(NamedTuple):
    """The columns that differ between accounts. Making a `User` of each line would take half of an import's time."""

    username: str
    username_key: str
    email: str
    password_hash: str
    profile: Mapping[str, Any] = {}

    @property
    def row(self) -> dict[str, Any]:
        return {**dict(zip(self._fields[:4], self, strict=False)), **self.profile}


@dataclass
class TakenNames:
    """The people here already, and the usernames and addresses that nobody else may have."""

    emails_by_name: dict[str, str]
    emails: set[str]
    is_retired: Callable[[str], bool]

    @classmethod
    async def read(cls, db: AsyncSession, settings: Settings) -> Self:
        people = dict((await db.exec(select(User.username_key, col(User.email)))).all())
        kept = dict.fromkeys(await usernames.held(db), "")
        emails = set(people.values()) | await reserved_emails.held(db)
        return cls(kept | people, emails, await usernames.retired(db, settings))

    def take(self, account: NewAccount) -> None:
        """Takes both for a new account. Raises ValueError if somebody has one of them."""
        if account.username_key in self.emails_by_name or self.is_retired(account.username):
            words = _("the username %(name)s is taken, or reserved for its previous owner")
            raise ValueError(words % {"name": quoted(account.username)})
        if account.email in self.emails:
            words = _("%(email)s already has an account, or is reserved for one that may go back to it")
            raise ValueError(words % {"email": account.email})
        self.emails_by_name[account.username_key] = account.email
        self.emails.add(account.email)


@dataclass
class Checked:
    """The lines of a file: who is new, how many are here already, and what is wrong."""

    accounts: list[NewAccount] = field(default_factory=list)
    already_here: int = 0
    problems: list[str] = field(default_factory=list)


def check(rows: Sequence[Row], taken: TakenNames, local_domains: Collection[str]) -> Checked:
    checked, before = Checked(), dict(taken.emails_by_name)
    for row in rows:
        try:
            if row.has_too_many:
                raise ValueError(_("there are more values than columns"))
            values = row.values
            account = account_of(
                values["username"], values["email"], kept_hash(values.get("password_hash", "")), local_domains
            )
            if before.get(account.username_key) == account.email:
                checked.already_here += 1
                continue
            taken.take(account)
            checked.accounts.append(account)
        except ValueError as refused:
            checked.problems.append(_("line %(line)s: %(reason)s") % {"line": row.number, "reason": refused})
    return checked


def account_of(username: str, typed: str, password_hash: str, local_domains: Collection[str]) -> NewAccount:
    """The account in a line of the file. Raises ValueError."""
    username = identities.visible(username)
    if not identities.USERNAME.fullmatch(username):
        words = _("%(typed)s can't be a username: 3 to 30 of a to z, 0 to 9 and _")
        raise ValueError(words % {"typed": quoted(username)})
    try:
        email = identities.address_of_many(typed, local_domains)
    except ValueError:
        words = _("%(typed)s doesn't look like an email address")
        raise ValueError(words % {"typed": quoted(typed)}) from None
    return NewAccount(username, username.lower(), email, password_hash)


def kept_hash(password_hash: str) -> str:
    """The hash to store. Raises ValueError. Django marks an account without a password by a leading !."""
    is_none = not password_hash or password_hash.startswith("!")
    return users.NO_PASSWORD if is_none else hashes.read(password_hash)


def quoted(text: str) -> str:
    shown = text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}..."
    return f"'{printable(shown)}'"


def _shortened(problems: list[str]) -> Iterator[str]:
    yield from problems[:MOST_PROBLEMS]
    if len(problems) > MOST_PROBLEMS:
        more = len(problems) - MOST_PROBLEMS
        words = ngettext("... and %(count)s more like these.", "... and %(count)s more like these.", more)
        yield words % {"count": number(more)}


def _summary(checked: Checked) -> str:
    count = len(checked.accounts)
    words = [_counted(ngettext("Imported %(count)s account.", "Imported %(count)s accounts.", count), count)]
    if here := checked.already_here:
        words.append(_counted(ngettext("%(count)s was here already.", "%(count)s were here already.", here), here))
    if without := sum(account.password_hash == users.NO_PASSWORD for account in checked.accounts):
        choose = ngettext(
            "%(count)s without a password: they choose one with 'Forgot your password?'.",
            "%(count)s without a password: they choose one with 'Forgot your password?'.",
            without,
        )
        words.append(_counted(choose, without))
    return " ".join(words)


def _counted(words: str, count: int) -> str:
    return words % {"count": number(count)}
