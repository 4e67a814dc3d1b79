"""Works with a database in every way that the site does, and counts the answers that were another statement's.

python -m tests.neighbours.pooled_work DATABASE_URL SEED ROUNDS
"""

import asyncio
import json
import random
import sys
from collections import Counter

from sqlalchemy import bindparam, text

from webapp.database import Database, execute
from webapp.database.hot import Prepared

TABLE = "CREATE TABLE IF NOT EXISTS pooled_work (seed integer, number integer)"
FACTORS = range(2, 26)
# Of one shape, so that nothing but the answer tells one from another.
TEXTS = {factor: text(f"SELECT CAST(:number AS integer) * {factor}, {factor}") for factor in FACTORS}
STATEMENTS = {factor: Prepared(statement) for factor, statement in TEXTS.items()}
ADD = Prepared(text("INSERT INTO pooled_work (seed, number) VALUES (:seed, :number)"))
COUNT = Prepared(
    text("SELECT count(*) FROM pooled_work WHERE seed = :seed AND number > :least").bindparams(
        bindparam("seed"), bindparam("least")
    )
)


class Worker:
    """One process's share: `mixed` counts wrong answers, `errors` what was raised."""

    def __init__(self, database: Database, seed: int) -> None:
        self.database = database
        self.seed = seed
        self.random = random.Random(seed)
        self.done = self.mixed = self.added = 0
        self.errors: Counter[str] = Counter()

    async def work(self, rounds: int) -> None:
        await asyncio.gather(*(self._rounds(rounds // 6) for _ in range(6)))

    async def _rounds(self, rounds: int) -> None:
        ways = (self._in_a_session, self._past_the_orm, self._directly, self._writing, self._many)
        for _round in range(rounds):
            try:
                await self.random.choice(ways)()
            except Exception as error:
                self.errors[f"{type(error).__name__}: {error}"[:160]] += 1
            self.done += 1

    async def _in_a_session(self) -> None:
        factor, number = self._drawn()
        async with self.database.session() as db:
            self._check((await execute(db, TEXTS[factor], {"number": number})).one(), factor, number)

    async def _past_the_orm(self) -> None:
        factor, number = self._drawn()
        async with self.database.session() as db:
            self._check((await STATEMENTS[factor].rows(db, {"number": number}))[0], factor, number)

    async def _directly(self) -> None:
        async with self.database.direct() as db:
            for factor, number in (self._drawn(), self._drawn(), self._drawn()):
                self._check((await STATEMENTS[factor].rows(db, {"number": number}))[0], factor, number)

    async def _writing(self) -> None:
        factor, number = self._drawn()
        async with self.database.direct(is_writing=True) as db:
            await ADD.rows(db, {"seed": self.seed, "number": number})
            self._check((await STATEMENTS[factor].rows(db, {"number": number}))[0], factor, number)
            await db.commit()
        self.added += 1

    async def _many(self) -> None:
        async with self.database.direct(is_writing=True) as db:
            await ADD.run_each(db, [{"seed": self.seed, "number": number} for number in (1, 2, 3)])
            await db.commit()
        self.added += 3

    def _drawn(self) -> tuple[int, int]:
        return self.random.choice(FACTORS), self.random.randrange(1, 10_000_000)

    def _check(self, row: object, factor: int, number: int) -> None:
        self.mixed += tuple(row) != (number * factor, factor)  # type: ignore[arg-type]


async def run(url: str, seed: int, rounds: int) -> dict[str, object]:
    database = Database(url)
    worker = Worker(database, seed)
    await worker.work(rounds)
    async with database.session() as db:
        found = (await COUNT.rows(db, {"seed": seed, "least": 0}))[0][0]
    await database.aclose()
    return {"done": worker.done, "mixed": worker.mixed, "lost": worker.added - found, "errors": dict(worker.errors)}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))))
