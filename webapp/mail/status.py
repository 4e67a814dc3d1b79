"""What the admin sees of the mail and can do about it: counts, trouble, pause, resume, send again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, TextClause, bindparam, func, literal, select, text, update
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import database
from webapp.database import execute, execute_together, is_recent, now, recent
from webapp.database.hot import Prepared, Transaction
from webapp.mail import models, refusals
from webapp.mail.models import DEAD, LEASED, READY, SENT, SUPPRESSED, Claimed, Outcome, Priority, Verdict
from webapp.mail.outbox import NOT_LEAVING, TROUBLE_LASTS, emails, trouble_seen
from webapp.mail.outbox import status as statuses
from webapp.settings import Settings

GIVEN_UP = text(models.GIVEN_UP)
KEPT = timedelta(days=30)
KEPT_OF_STRANGERS = timedelta(days=1)
ATTEMPTS_FORGIVEN = 5


@dataclass(frozen=True)
class Trouble:
    """Why the mail server doesn't work, in its own words, and since when."""

    since: datetime
    code: int | None
    reason: str


@dataclass(frozen=True)
class Status:
    """The state of the mail. `median_seconds` is from posting to sending, over the last hour's emails."""

    paused_at: datetime | None
    trouble: Trouble | None
    waiting: int
    oldest_waiting: datetime | None
    overdue_since: datetime | None
    sent_last_hour: int
    median_seconds: float | None
    given_up: int


async def read(db: AsyncSession) -> Status:
    waits = emails.c.finished_at.is_(None)
    sent_lately = (emails.c.state == SENT) & recent(emails.c.finished_at, timedelta(hours=1))
    counts = {
        "waiting": _found(func.count(), waits),
        "oldest_waiting": _found(func.min(emails.c.created_at), waits),
        "overdue_since": _found(func.min(emails.c.due_at), waits),
        "given_up": _found(func.count(), GIVEN_UP),
        "sent_last_hour": _found(func.count(), sent_lately),
    }
    sample = (
        select(emails.c.created_at, emails.c.finished_at)
        .where(sent_lately)
        .order_by(emails.c.finished_at.desc())
        .limit(200)
    )
    [found], lately = await execute_together(db, {}, _with(counts), sample)
    row, times = found._asdict(), [(sent.finished_at - sent.created_at).total_seconds() for sent in lately]
    return Status(
        paused_at=row["paused_at"],
        trouble=_trouble(row),
        median_seconds=median(times) if times else None,
        **{name: row[name] for name in counts},
    )


async def is_delayed(db: Transaction) -> bool:
    """Whether emails are late at the moment, or not leaving at all."""
    [(is_delayed,)] = await _IS_DELAYED.rows(db, trouble_seen(now()))
    return bool(is_delayed)


async def spent(db: AsyncSession, within: timedelta) -> dict[Priority, int]:
    """How many emails of each priority were sent within that time, or are in a mailer's hands."""
    sent = recent(emails.c.finished_at, within), emails.c.state == SENT
    in_hand = emails.c.finished_at.is_(None), emails.c.due_at > now(), emails.c.state == LEASED
    counts = dict.fromkeys(Priority, 0)
    # In this order: an email sent between the two is then counted twice, not left out.
    for which in (in_hand, sent):
        query = select(emails.c.priority, func.count()).where(*which).group_by(emails.c.priority)
        for priority, count in await execute(db, query):
            counts[Priority(priority)] += count
    return counts


async def oldest_waiting(db: AsyncSession) -> datetime | None:
    """When the oldest email was posted that is neither sent nor given up."""
    query = select(func.min(emails.c.created_at)).where(emails.c.finished_at.is_(None))
    oldest: datetime | None = (await execute(db, query)).scalar_one()
    return oldest


async def note_trouble(db: AsyncSession, since: datetime | None, outcome: Outcome) -> None:
    """Tells all processes since when the mail server doesn't work; or, with None, that it works again."""
    if since is None:
        await _undo_harm(db)
    code, reason = (outcome.code, outcome.reason[:300]) if since else (None, None)
    values = {"trouble_since": since, "trouble_seen_at": now(), "trouble_code": code, "trouble_reason": reason}
    await _set(db, values)


async def _undo_harm(db: AsyncSession) -> None:
    """Undoes what the trouble did: emails given up or put off are due again, and refused addresses are forgiven.

    Emails that were tried often may be trouble themselves, and keep their schedule.
    """
    since = (await execute(db, _with({}))).one().trouble_since
    if since is None:
        return
    moment = now()
    await refusals.lift_since(db, since)
    worth_it = (emails.c.attempts < ATTEMPTS_FORGIVEN) & (emails.c.expires_at > moment)
    refused = emails.c.state.in_((DEAD, SUPPRESSED)) & (emails.c.finished_at >= since) & emails.c.recipient.is_not(None)
    put_off = (emails.c.state == READY) & (emails.c.verdict == Verdict.UNAVAILABLE.value) & (emails.c.due_at > moment)
    values = {"state": READY, "due_at": moment, "finished_at": None}
    await execute(db, update(emails).where(worth_it, refused | put_off).values(**values))
    database.wake_after_commit(db)


async def pause(db: AsyncSession) -> None:
    """Emails wait until `resume`. New ones are still accepted."""
    await _set(db, {"paused_at": now()})


async def resume(db: AsyncSession) -> None:
    await _set(db, {"paused_at": None})
    database.wake_after_commit(db)


def given_up(most: int) -> Select[*tuple[Any, ...]]:
    """Finds emails that were given up, newest first."""
    columns = ("id", "kind", "recipient", "state", "code", "reason", "created_at", "finished_at")
    query = select(*(emails.c[name] for name in columns)).where(GIVEN_UP)
    return query.order_by(emails.c.finished_at.desc()).limit(most)


async def sent_to(db: AsyncSession, user_id: int, kind: str, since: datetime, before: Claimed) -> int:
    """How many emails of a kind were sent, or are about to be, to a person before this one."""
    [(count,)] = await _SENT_TO.rows(db, {"owner": user_id, "kind": kind, "since": since, "before": before.id})
    return int(count)


async def send_again(
    db: AsyncSession, settings: Settings, expires_after: dict[str, timedelta], email_id: int | None = None
) -> int:
    """Makes one given-up email due again, or all of them, with a new lifetime; returns how many.

    Earlier refusals are forgotten, so that it is really tried.
    """
    moment = now()
    count = 0
    for kind, lifetime in expires_after.items():
        chosen = emails.c.kind == kind
        if email_id is not None:
            chosen &= emails.c.id == email_id
        values = {"state": READY, "due_at": moment, "expires_at": moment + lifetime, "finished_at": None, "attempts": 0}
        again = await execute(db, update(emails).where(GIVEN_UP, chosen).values(**values, crashes=0))
        count += again.rowcount
    if count:
        await refusals.forget(db, settings)
        database.wake_after_commit(db)
    return count


def outdated() -> ColumnElement[bool]:
    """The SQL condition for emails that were finished long ago. What strangers may have asked for goes sooner: they can
    ask for more than the hour's budget lets leave.
    """
    of_strangers = (emails.c.finished_at < now() - KEPT_OF_STRANGERS) & text(models.OF_STRANGERS)
    return (emails.c.finished_at < now() - KEPT) | of_strangers


async def _set(db: AsyncSession, values: dict[str, Any]) -> None:
    await execute(db, database.upsert(statuses, "id", *values), {"id": 1, **values})


def _with(more: Mapping[str, ScalarSelect[Any]]) -> Select[*tuple[Any, ...]]:
    """The one row of the mail's status, empty until there is one; and what else is asked for."""
    always = select(literal(1)).subquery().outerjoin(statuses, statuses.c.id == 1)
    asked = [query.label(name) for name, query in more.items()]
    return select(*statuses.c, *asked).select_from(always)


def _found(what: ColumnElement[Any], which: ColumnElement[bool] | TextClause) -> ScalarSelect[Any]:
    return select(what).select_from(emails).where(which).scalar_subquery()


def _trouble(row: Mapping[str, Any]) -> Trouble | None:
    since = row["trouble_since"]
    if since is None or not is_recent(row["trouble_seen_at"], TROUBLE_LASTS):
        return None
    return Trouble(since, row["trouble_code"], row["trouble_reason"] or "")


_SENT_TO = Prepared(
    select(func.count()).where(
        emails.c.user_id == bindparam("owner"),
        emails.c.kind == bindparam("kind"),
        emails.c.created_at > bindparam("since"),
        emails.c.id < bindparam("before"),
    )
)
_IS_DELAYED = Prepared(select(NOT_LEAVING))
