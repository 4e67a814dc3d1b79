"""The outbox: post, claim, finish. An email is posted in the transaction of its cause.

At least once: if a process dies between the server's "accepted" and `finish`, the email is sent again when its lease
runs out, with the same Message-ID.
"""

import random
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, bindparam, case, delete, exists, insert, select, update

from webapp import database, rate_limits
from webapp.database import CLOCKS_DIFFER, now, table
from webapp.database.hot import Prepared, Transaction, rows_together
from webapp.mail import models, refusals
from webapp.mail.models import Claimed, MailStatus, OutboxEmail, Outcome, Priority, Verdict
from webapp.rate_limits import Use
from webapp.settings import Settings

# Trouble that no mailer has met for this long is over, even if no email has proved it.
TROUBLE_LASTS = timedelta(minutes=5)
LEASE = timedelta(seconds=90)
CRASHES_ALLOWED = 4
# Seconds between attempts; the last one repeats until the email expires.
RETRY_DELAYS = (5, 15, 30, 60, 120, 300, 300, 300, 600, 1800, 3600)
# Hours between attempts of a notice that was refused for good.
REFUSED_HOURS = (1, 3, 6, 12, 24)

emails = table(OutboxEmail)
status = table(MailStatus)


def retry_delay(attempts: int, delays: Sequence[float]) -> timedelta:
    """How long to wait after this many attempts, give or take a fifth. The last of the delays (seconds) repeats."""
    return timedelta(seconds=delays[min(attempts, len(delays)) - 1] * random.uniform(0.8, 1.2))


def refused_delay(attempts: int) -> timedelta:
    """How long a notice that was refused for good waits, after this many attempts."""
    return timedelta(hours=REFUSED_HOURS[min(attempts, len(REFUSED_HOURS)) - 1])


def new_message_id(host: str) -> str:
    """A new Message-ID on the host's domain (RFC 5322, 3.6.4). An email keeps it over all its attempts."""
    return f"<{secrets.token_hex(16)}@{host}>"


async def post(
    db: Transaction,
    settings: Settings,
    kind: str,
    *,
    recipient: str,
    language: str,
    expires_after: timedelta,
    message_id: str = "",
    user_id: int | None = None,
    parameters: dict[str, Any] | None = None,
    delay: timedelta = timedelta(),
    priority: Priority = Priority.NOTICE,
    uses: Sequence[Use] = (),
) -> bool:
    """Adds an email to the caller's transaction; the mailer wakes up when that commits.

    It leaves after `delay` at the earliest, and after all due emails of a higher priority. After `expires_after` it is
    no longer worth sending. The parameters must be JSON, and hold no secret. Returns whether emails are delayed at the
    moment: the only thing that visitors are told about the mail.

    Posting it may count as `uses` of limits, in the same trip to the database; raises TooOften as `rate_limits.count`.
    """
    created_at = now()
    row = {
        "kind": kind,
        "recipient": recipient,
        "parameters": parameters or {},
        "language": language,
        "user_id": user_id,
        "message_id": message_id or new_message_id(settings.host),
        "priority": int(priority),
        "created_at": created_at,
        "due_at": created_at + delay,
        "expires_at": created_at + expires_after,
    }
    database.wake_after_commit(db)
    posting = _POST, row | trouble_seen(created_at)
    counted = rate_limits.count(db, settings, *uses, beside=[posting]) if uses else rows_together(db, posting)
    [[(is_delayed,)]] = await counted
    return bool(is_delayed)


async def claim(
    db: Transaction, worker: str, most: int, priority: Priority = Priority.WAITED_FOR, lease: timedelta = LEASE
) -> list[Claimed]:
    """Leases up to `most` due emails of a priority to the worker, oldest first, and counts the attempt."""
    return await _claim(db, _CLAIM, lease, worker=worker, most=most, priority=int(priority))


async def claim_alarm(db: Transaction, worker: str, lease: timedelta = LEASE) -> list[Claimed]:
    """Leases one alarm, which is sent first and beyond the hour's budget; an empty list if there is none."""
    return await _claim(db, _CLAIM_ALARM, lease, worker=worker, most=1)


async def claim_suspect(db: Transaction, worker: str, lease: timedelta = LEASE) -> list[Claimed]:
    """Leases one email that several mailers have died with, so the next one may, too; else an empty list."""
    return await _claim(db, _CLAIM_SUSPECT, lease, worker=worker, most=1)


async def _claim(db: Transaction, statement: Prepared, lease: timedelta, **chosen: str | int) -> list[Claimed]:
    moment = now()
    parameters = {"moment": moment, "lease_end": moment + lease, **chosen}
    rows = await statement.rows(db, parameters)
    return [Claimed(*row) for row in sorted(rows, key=itemgetter(0))]


async def renew(db: Transaction, held: Sequence[Claimed], lease: timedelta = LEASE) -> datetime:
    """Renews the leases of emails in hand; returns until when."""
    until = now() + lease
    await _RENEW.run_each(db, [_lease(email) | {"lease_end": until} for email in held])
    return until


async def finish(
    db: Transaction, results: Sequence[tuple[Claimed, Outcome]], retries: Sequence[float] = RETRY_DELAYS
) -> None:
    """Stores what became of emails. Rows that another worker has claimed since stay as they are."""
    gone = [_lease(email) for email, outcome in results if outcome.verdict is Verdict.NOBODY]
    stays = [(email, outcome) for email, outcome in results if outcome.verdict is not Verdict.NOBODY]
    kept = [_lease(email) | _after(email, outcome, retries) for email, outcome in stays]
    if gone:
        await _DISCARD.run_each(db, gone)
    if kept:
        await _FINISH.run_each(db, kept)
    await refusals.note(db, [outcome for _email, outcome in results if outcome.refused])
    await refusals.lift(db, [outcome.accepted for _email, outcome in results if outcome.accepted])


async def belong(db: Transaction, found: Sequence[tuple[Claimed, int]]) -> None:
    """Records whose emails they are, of those that the mailer had to find out."""
    if owned := [{"email": email.id, "owner": user_id} for email, user_id in found if email.user_id is None]:
        await _BELONGS.run_each(db, owned)


def _after(email: Claimed, outcome: Outcome, retries: Sequence[float]) -> dict[str, Any]:
    """The row's columns after an outcome."""
    moment = now()
    row = _lease(email) | {
        "new_state": models.READY,
        "new_due_at": moment,
        "new_attempts": email.attempts,
        "new_crashes": 0,
        "new_verdict": outcome.verdict.value,
        "new_code": outcome.code,
        "new_reason": outcome.reason[:300] or None,
        "new_finished_at": None,
        "new_recipient": email.recipient,
        "new_parameters": email.parameters,
    }
    if outcome.verdict is Verdict.SENT:
        row |= {"new_state": models.SENT, "new_finished_at": moment, "new_recipient": None, "new_parameters": {}}
    elif outcome.verdict is Verdict.NEVER and outcome.code and email.must_arrive:
        # The mailbox may just be full, and a warning must arrive: tried again hours apart, until it is too late.
        row |= {"new_due_at": moment + refused_delay(email.attempts)}
    elif outcome.verdict is Verdict.NEVER:
        row |= {"new_state": models.DEAD, "new_finished_at": moment}
    elif outcome.verdict is Verdict.SUPPRESSED:
        row |= {"new_state": models.SUPPRESSED, "new_finished_at": moment}
    elif email.expires_at <= moment:
        row |= {"new_state": models.EXPIRED, "new_finished_at": moment}
    elif outcome.verdict is Verdict.LATER or outcome.backs_off:
        row |= {"new_due_at": moment + retry_delay(email.attempts, retries)}
    else:  # not the email's fault, so it doesn't count as an attempt
        row |= {"new_attempts": email.attempts - 1}
        if not outcome.reason:  # merely handed back: it waits for the same reason as before
            row |= {"new_code": email.code, "new_reason": email.reason}
    return row


def trouble_seen(moment: datetime) -> dict[str, Any]:
    """The parameters of `NOT_LEAVING`: the trouble still lasts if a process has met it between these two times."""
    return {"seen_since": moment - TROUBLE_LASTS, "seen_until": moment + CLOCKS_DIFFER}


def _lease(email: Claimed) -> dict[str, Any]:
    return {"lease_id": email.id, "lease_fence": email.fence}


_SEEN_LATELY = status.c.trouble_seen_at.between(bindparam("seen_since"), bindparam("seen_until"))
_IN_TROUBLE = status.c.trouble_since.is_not(None) & _SEEN_LATELY
NOT_LEAVING = exists().where(status.c.paused_at.is_not(None) | _IN_TROUBLE)
_POSTED = "kind recipient parameters language user_id message_id priority created_at due_at expires_at"
_POST = Prepared(
    insert(emails).values(state=models.READY, attempts=0, crashes=0, fence=0).returning(NOT_LEAVING), *_POSTED.split()
)
_DUE = emails.c.finished_at.is_(None) & (emails.c.due_at <= bindparam("moment"))
_NOT_PAUSED = ~exists().where(status.c.paused_at.is_not(None))
# At most one mailer died with it. A mailer has many emails in hand, and most of them are not the cause.
_UNSUSPECTED = emails.c.crashes == 0


def _lease_out(chosen: ColumnElement[bool]) -> Prepared:
    # SQLite has no SKIP LOCKED, and needs none: its writers take turns. SQLAlchemy leaves it out there.
    first = select(emails.c.id).where(_DUE, chosen, _NOT_PAUSED).order_by(emails.c.due_at).limit(bindparam("most"))
    # A CTE, which runs once. PostgreSQL may run a subquery again for each row, and each run locks the next emails.
    due = first.with_for_update(skip_locked=True).cte("due")
    return Prepared(
        update(emails)
        .where(emails.c.id == due.c.id)
        .values(
            state=models.LEASED,
            attempts=emails.c.attempts + 1,
            crashes=emails.c.crashes + case((emails.c.state == models.LEASED, 1), else_=0),
            fence=emails.c.fence + 1,
            leased_by=bindparam("worker"),
            due_at=bindparam("lease_end"),
        )
        .returning(*(emails.c[name] for name in Claimed.__dataclass_fields__))
    )


_CLAIM = _lease_out(_UNSUSPECTED & (emails.c.priority == bindparam("priority")))
_CLAIM_ALARM = _lease_out(_UNSUSPECTED & (emails.c.priority == int(Priority.NOTICE)) & (emails.c.kind == "alarm"))
_CLAIM_SUSPECT = _lease_out(~_UNSUSPECTED)
_FINISHED = "state due_at attempts crashes verdict code reason finished_at recipient parameters"
_BELONGS = Prepared(update(emails).where(emails.c.id == bindparam("email")).values(user_id=bindparam("owner")))
_THIS = emails.c.id == bindparam("lease_id"), emails.c.fence == bindparam("lease_fence")
_HELD = (*_THIS, emails.c.state == models.LEASED)  # without those already finished
# Without those that are just being finished: renewing and finishing could wait for each other.
_UNTOUCHED = select(emails.c.id).where(*_HELD).with_for_update(skip_locked=True).correlate(None).scalar_subquery()
_RENEW = Prepared(update(emails).where(emails.c.id == _UNTOUCHED).values(due_at=bindparam("lease_end")))
_DISCARD = Prepared(delete(emails).where(*_HELD))
_FINISH = Prepared(update(emails).where(*_HELD).values({name: bindparam(f"new_{name}") for name in _FINISHED.split()}))
