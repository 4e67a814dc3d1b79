"""The outbox on both databases: post, claim, finish, and what happens to a worker that comes too late."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import text
from sqlmodel import col, select

from tests.depth import deep, one_in
from tests.imported import add_accounts
from tests.mail.posting import AN_HOUR, post
from webapp.accounts.models import User
from webapp.database import Database, execute, now
from webapp.delivery import dispatcher, pace
from webapp.mail import outbox, status
from webapp.mail.models import DEAD, EXPIRED, LEASED, READY, SENT, Claimed, OutboxEmail, Outcome, Priority, Verdict
from webapp.mail.outbox import CRASHES_ALLOWED, LEASE, RETRY_DELAYS
from webapp.settings import Settings

pytestmark = pytest.mark.anyio
A_MOMENT = timedelta(seconds=1)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.aclose()


async def claim(database: Database, worker: str = "one", most: int = 10) -> list[Claimed]:
    async with database.session(is_writing=True) as db:
        batch = await outbox.claim(db, worker, most)
        await db.commit()
    return batch


async def claim_suspect(database: Database, worker: str = "one") -> list[Claimed]:
    async with database.session(is_writing=True) as db:
        batch = await outbox.claim_suspect(db, worker)
        await db.commit()
    return batch


async def finish(database: Database, email: Claimed, outcome: Outcome) -> None:
    async with database.session(is_writing=True) as db:
        await outbox.finish(db, [(email, outcome)])
        await db.commit()


async def rows(database: Database) -> list[OutboxEmail]:
    async with database.session() as db:
        return list(await db.exec(select(OutboxEmail).order_by(col(OutboxEmail.id))))


async def only_row(database: Database) -> OutboxEmail:
    (row,) = await rows(database)
    return row


def after(email: Claimed, more: timedelta = A_MOMENT) -> time_machine.travel:
    """The time when the email's lease has run out."""
    return time_machine.travel(email.due_at + more, tick=False)


@deep
@pytest.mark.parametrize(("is_committed", "expected"), [(True, 1), (False, 0)])
async def test_an_email_is_posted_with_its_cause_or_not_at_all(
    database: Database, make_settings: Callable[..., Settings], is_committed: bool, expected: int
) -> None:
    async with database.session(is_writing=True) as db:
        settings = make_settings()
        await add_accounts(db, settings, "username,email\nsusan,susan@example.com")
        await outbox.post(
            db,
            settings,
            "welcome",
            recipient="susan@example.com",
            language="en",
            expires_after=AN_HOUR,
        )
        await (db.commit() if is_committed else db.rollback())

    async with database.session() as db:
        people = list(await db.exec(select(User)))
    assert (len(people), len(await rows(database))) == (expected, expected)
    assert database.wake.is_set() is is_committed


async def test_a_row_is_an_intention_and_holds_no_email(database: Database) -> None:
    await post(database)

    row = await only_row(database)

    assert (row.state, row.kind, row.recipient, row.language) == (READY, "reset_password", "person0@example.com", "en")
    assert row.parameters == {"color": "red"}
    assert row.message_id.endswith("@blog.example>")


async def test_a_claimed_email_is_nobody_elses(database: Database) -> None:
    await post(database)

    first, second = await claim(database, "one"), await claim(database, "two")
    suspect = await claim_suspect(database, "two")

    assert [email.recipient for email in first] == ["person0@example.com"]
    assert (second, suspect) == ([], [])
    assert (await only_row(database)).leased_by == "one"


async def test_what_can_wait_is_claimed_only_when_asked_for(database: Database) -> None:
    await post(database, 3, name="patient", priority=Priority.CAN_WAIT)
    await post(database, 2)

    first, second = await claim(database), await claim(database)
    async with database.session(is_writing=True) as db:
        others = await outbox.claim(db, "one", 2, Priority.CAN_WAIT)
        await db.commit()

    assert [email.recipient for email in first] == ["person0@example.com", "person1@example.com"]
    assert second == []
    assert [email.recipient for email in others] == ["patient0@example.com", "patient1@example.com"]


async def test_an_attempt_is_counted_before_it_is_made(database: Database) -> None:
    await post(database)

    (email,) = await claim(database)
    row = await only_row(database)

    assert (email.attempts, row.attempts, row.state) == (1, 1, LEASED)


async def test_an_email_whose_lease_ran_out_is_due_again(database: Database) -> None:
    await post(database)
    (email,) = await claim(database, "one")

    with after(email, -A_MOMENT):
        early = await claim(database, "two")
    with after(email):
        (again,) = await claim(database, "two")

    assert early == []
    assert (again.id, again.message_id) == (email.id, email.message_id)
    assert (again.attempts, again.crashes) == (2, 1)


async def test_an_email_that_mailers_died_of_twice_comes_by_itself(database: Database) -> None:
    await post(database)
    (email,) = await claim(database)
    with after(email):
        (email,) = await claim(database)
    await post(database, 2)

    with after(email):
        others = await claim(database, "two")
        suspects = await claim_suspect(database, "two")

    assert [other.id for other in others] == [email.id + 1, email.id + 2]
    assert [(suspect.id, suspect.crashes) for suspect in suspects] == [(email.id, 2)]


@pytest.mark.parametrize("verdict", Verdict)
@one_in(4)
async def test_a_worker_whose_lease_has_run_out_changes_nothing(database: Database, verdict: Verdict) -> None:
    await post(database)
    (late,) = await claim(database, "one")
    with after(late):
        await claim(database, "two")
    before = (await only_row(database)).model_dump()

    await finish(database, late, Outcome(verdict, 250, "too late"))

    assert (await only_row(database)).model_dump() == before


async def test_a_finished_email_can_not_be_handed_back(database: Database) -> None:
    await post(database)
    (email,) = await claim(database)
    await finish(database, email, Outcome(Verdict.NEVER, 550, "no such person"))
    before = (await only_row(database)).model_dump()

    await finish(database, email, Outcome(Verdict.UNAVAILABLE))

    assert (await only_row(database)).model_dump() == before


async def test_a_finished_email_is_never_claimed_again(database: Database) -> None:
    await post(database, 2)
    sent, refused = await claim(database)
    await finish(database, sent, Outcome(Verdict.SENT))
    await finish(database, refused, Outcome(Verdict.NEVER))

    with after(sent):
        again = await claim(database) + await claim_suspect(database)

    assert again == []


async def test_a_sent_email_forgets_whom_it_was_for(database: Database) -> None:
    await post(database)
    (email,) = await claim(database)

    await finish(database, email, Outcome(Verdict.SENT, 250))

    row = await only_row(database)
    assert (row.state, row.recipient, row.parameters, row.code) == (SENT, None, {}, 250)
    assert row.finished_at is not None


async def test_an_email_to_nobody_leaves_no_row(database: Database) -> None:
    await post(database)
    (email,) = await claim(database)

    await finish(database, email, Outcome(Verdict.NOBODY))

    assert await rows(database) == []


async def test_a_refused_email_is_kept_with_the_reason(database: Database) -> None:
    await post(database)
    (email,) = await claim(database)

    await finish(database, email, Outcome(Verdict.NEVER, 550, "no such person"))

    row = await only_row(database)
    assert (row.state, row.code, row.reason) == (DEAD, 550, "no such person")
    assert row.recipient == "person0@example.com"


async def test_an_email_for_later_waits_its_delay(database: Database) -> None:
    await post(database)
    (email,) = await claim(database)

    before, seconds = now(), RETRY_DELAYS[0]

    await finish(database, email, Outcome(Verdict.LATER, 450, "busy"))

    row = await only_row(database)
    assert (row.state, row.attempts, row.code, row.reason) == (READY, 1, 450, "busy")
    assert before + timedelta(seconds=0.8 * seconds) <= row.due_at <= now() + timedelta(seconds=1.2 * seconds)
    assert await claim(database) == []
    with time_machine.travel(row.due_at + A_MOMENT, tick=False):
        assert [(again.attempts, again.message_id) for again in await claim(database)] == [(2, email.message_id)]


async def test_an_absent_server_costs_an_email_no_attempt(database: Database) -> None:
    await post(database)
    (email,) = await claim(database)

    await finish(database, email, Outcome(Verdict.UNAVAILABLE, None, "no server"))

    row = await only_row(database)
    assert (row.state, row.attempts) == (READY, 0)
    assert row.due_at <= now()
    assert [again.attempts for again in await claim(database)] == [1]


async def test_an_email_that_is_handed_back_keeps_the_reason_why_it_waits(database: Database) -> None:
    await post(database)
    (email,) = await claim(database)
    await finish(database, email, Outcome(Verdict.UNAVAILABLE, 421, "too many connections"))

    (again,) = await claim(database)
    await finish(database, again, Outcome(Verdict.UNAVAILABLE))

    row = await only_row(database)
    assert (row.code, row.reason) == (421, "too many connections")


@deep
@pytest.mark.parametrize("verdict", [Verdict.LATER, Verdict.UNAVAILABLE])
async def test_an_email_that_is_too_old_is_marked_so(database: Database, verdict: Verdict) -> None:
    await post(database, expires_after=timedelta(seconds=30))
    (email,) = await claim(database)

    with time_machine.travel(email.expires_at + A_MOMENT, tick=False):
        await finish(database, email, Outcome(verdict, None, "too late"))
        again = await claim(database)

    assert (await only_row(database)).state == EXPIRED
    assert again == []


async def test_an_email_that_mailers_keep_dying_of_is_given_up(
    database: Database, make_settings: Callable[..., Settings]
) -> None:
    settings = make_settings()
    await post(database, expires_after=timedelta(days=1))
    (email,) = await claim(database)
    with after(email):
        (email,) = await claim(database)
    for _death in range(CRASHES_ALLOWED):
        with after(email):
            (email,) = await claim_suspect(database)

    async with database.session(is_writing=True) as db:
        outcome = await dispatcher.draft(db, settings, email)
    assert isinstance(outcome, Outcome)
    await finish(database, email, outcome)

    assert email.crashes == CRASHES_ALLOWED + 1
    assert (await only_row(database)).state == DEAD


async def test_what_has_been_due_longest_is_claimed_first(database: Database) -> None:
    await post(database)
    with time_machine.travel(now() - A_MOMENT, tick=False):
        await post(database)

    first, second = await claim(database, most=1), await claim(database, most=1)

    assert [email.id for email in first + second] == [2, 1]


async def test_no_more_emails_are_claimed_than_asked_for(database: Database) -> None:
    await post(database, 5)

    first, second = await claim(database, most=3), await claim(database, most=3)

    assert [email.recipient for email in first] == [f"person{number}@example.com" for number in range(3)]
    assert [email.recipient for email in second] == [f"person{number}@example.com" for number in (3, 4)]


async def test_no_more_emails_are_claimed_when_the_planner_counts_on_one(database: Database) -> None:
    """Statistics from a quiet time: for one email PostgreSQL would run a subquery once for each email there is now."""
    await post(database, 1)
    async with database.session(is_writing=True) as db:
        await execute(db, text("ANALYZE outbox_email"))
        await db.commit()
    await post(database, 5)

    assert [len(await claim(database, most=2)) for _ in range(4)] == [2, 2, 2, 0]


async def test_outcomes_of_a_batch_each_reach_their_own_email(database: Database) -> None:
    await post(database, 4)
    batch = await claim(database)
    verdicts = [Verdict.SENT, Verdict.NOBODY, Verdict.NEVER, Verdict.UNAVAILABLE]

    async with database.session(is_writing=True) as db:
        await outbox.finish(db, [(email, Outcome(verdict)) for email, verdict in zip(batch, verdicts, strict=True)])
        await db.commit()

    found = {row.id: row.state for row in await rows(database)}
    assert found == {batch[0].id: SENT, batch[2].id: DEAD, batch[3].id: READY}


@deep
async def test_claimers_at_once_get_each_email_exactly_once(database: Database, database_url: str) -> None:
    await post(database, 40)
    claimers = [Database(database_url) for _ in range(8)]

    async def claim_all(claimer: Database, name: str) -> list[int]:
        ids: list[int] = []
        while batch := await claim(claimer, name, most=3):
            ids += [email.id for email in batch]
        return ids

    claimed = await asyncio.gather(*(claim_all(claimer, f"worker {n}") for n, claimer in enumerate(claimers)))
    await asyncio.gather(*(claimer.aclose() for claimer in claimers))

    times = Counter(email_id for ids in claimed for email_id in ids)
    assert len(times) == 40
    assert set(times.values()) == {1}
    assert {row.attempts for row in await rows(database)} == {1}


async def test_what_was_sent_in_the_last_hour_or_is_being_sent_is_counted(database: Database) -> None:
    await post(database, 4)
    first, second, _in_hand = await claim(database, most=3)
    with time_machine.travel(now() - 2 * AN_HOUR, tick=False):
        await finish(database, first, Outcome(Verdict.SENT))
    await finish(database, second, Outcome(Verdict.SENT))

    async with database.session() as db:
        count = await status.spent(db, AN_HOUR)

    assert count == dict.fromkeys(Priority, 0) | {Priority.WAITED_FOR: 2}


async def test_the_oldest_waiting_email_is_known(database: Database) -> None:
    await post(database, 2)
    first, second = await claim(database)

    await finish(database, first, Outcome(Verdict.SENT))
    async with database.session() as db:
        oldest = await status.oldest_waiting(db)
    await finish(database, second, Outcome(Verdict.NEVER))
    async with database.session() as db:
        none = await status.oldest_waiting(db)

    assert oldest == second.created_at
    assert none is None


@pytest.mark.parametrize(("attempts", "seconds"), [*enumerate(RETRY_DELAYS, 1), (100, RETRY_DELAYS[-1])])
def test_the_wait_grows_with_the_attempts_give_or_take_a_fifth(attempts: int, seconds: int) -> None:
    waits = [outbox.retry_delay(attempts, RETRY_DELAYS).total_seconds() / seconds for _try in range(200)]

    assert 0.8 <= min(waits) < 0.9
    assert 1.1 < max(waits) <= 1.2


async def test_a_lease_in_hand_is_renewed_and_another_workers_is_not(database: Database) -> None:
    await post(database, 2)
    first, second = await claim(database, "one")
    with after(second):
        await claim(database, "two")

    with time_machine.travel(second.due_at + LEASE / 2, tick=False):
        async with database.session(is_writing=True) as db:
            until = await outbox.renew(db, [first, second])
            await db.commit()

    assert until not in {row.due_at for row in await rows(database)}
    await post(database)
    (third,) = await claim(database, "one")
    async with database.session(is_writing=True) as db:
        until = await outbox.renew(db, [third])
        await db.commit()
    assert until in {row.due_at for row in await rows(database)}


async def test_a_renewal_waits_for_no_email_that_is_being_finished(database: Database) -> None:
    """Nor holds any that finishing waits for: PostgreSQL would give up one of the two, and the mailer began anew."""
    await post(database, count=3)
    first, second, third = await claim(database)
    async with database.direct(is_writing=True) as finishing:
        if not database.is_sqlite:  # whose writers take turns
            await outbox.finish(finishing, [(second, Outcome(Verdict.SENT))])
        async with asyncio.timeout(5), database.direct(is_writing=True) as renewing:
            until = await outbox.renew(renewing, [first, second, third], 2 * LEASE)
            await renewing.commit()

    renewed = {email.id for email in await rows(database) if email.due_at == until}
    assert renewed >= {first.id, third.id}


@pytest.mark.parametrize("ahead", [timedelta(days=1), timedelta(hours=1), timedelta(minutes=5)])
@deep
async def test_a_clock_that_was_ahead_puts_no_email_off(database: Database, ahead: timedelta) -> None:
    """Posted, or claimed by a mailer that may be gone, by a clock that is set back then."""
    with time_machine.travel(now() + ahead, tick=True):
        await post(database, 2)
        await claim(database, most=1)
    assert await claim(database) == []

    async with database.session(is_writing=True) as db:
        assert await pace.mend_times(db) == 2
        assert await pace.mend_times(db) == 0
        await db.commit()

    [posted] = await claim(database)
    await finish(database, posted, Outcome(Verdict.SENT))
    with time_machine.travel(now() + outbox.LEASE, tick=True):
        assert len(await claim(database)) == 1


async def test_an_email_that_waits_as_planned_is_left_alone(database: Database) -> None:
    await post(database, 2)
    [later, _in_hand] = await claim(database)
    await finish(database, later, Outcome(Verdict.LATER))

    async with database.session(is_writing=True) as db:
        assert await pace.mend_times(db) == 0


@pytest.mark.alike
async def test_what_is_worth_sending_for_days_is_tried_again_after_a_refusal(database: Database) -> None:
    """C67: the email that brings a deleted account back is waited for, and a 552 may be a full mailbox."""
    for days in (5, 1):
        await post(database, 1, timedelta(days=days), kind="account_deletion")

    for email in await claim(database):
        await finish(database, email, Outcome(Verdict.NEVER, 552, "mailbox full"))

    async with database.session() as db:
        states = list(await db.exec(select(OutboxEmail.state).order_by(col(OutboxEmail.id))))
    assert states == [READY, DEAD]
