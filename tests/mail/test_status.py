"""What all processes know of the mail: many may say it at once."""

import asyncio

import pytest

from tests.depth import deep
from webapp.database import Database, now
from webapp.mail import status
from webapp.mail.models import Outcome, Verdict

pytestmark = pytest.mark.anyio
AWAY = Outcome(Verdict.UNAVAILABLE, 535, "no")


@deep
async def test_processes_that_speak_first_at_the_same_moment_do_not_trip_over_each_other(database_url: str) -> None:
    """As at every start: the first outcome of each process is news."""
    processes = [Database(database_url) for _ in range(4)]

    async def speak(database: Database) -> None:
        async with database.session(is_writing=True) as db:
            await status.note_trouble(db, now(), AWAY)
            await asyncio.sleep(0.05)
            await db.commit()

    await asyncio.gather(*(speak(database) for database in processes))

    async with processes[0].session() as db:
        trouble = (await status.read(db)).trouble
    assert trouble
    assert (trouble.code, trouble.reason) == (535, "no")
    for database in processes:
        await database.aclose()
