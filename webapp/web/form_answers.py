"""How forms were answered, kept for a minute so that a second press shows what the first one did.

Every page gives its forms one id, made for this page alone. The row's key, and the key that encrypts the answer, are
made of that id, of everything else that was sent, and of SECRET_KEY. The id is in no table: neither a copy of the
database nor the site itself can read an answer until the same form comes from the same browser again.
"""

import hashlib
import json
from typing import NamedTuple

from sqlalchemy import ColumnElement, text
from sqlmodel import Field, SQLModel, col

from webapp import clock, signing
from webapp.database import Database
from webapp.database.hot import Prepared
from webapp.settings import Settings

KEPT_SECONDS = 60
LONGEST_WORK = 15  # seconds; what was begun earlier and has no answer was cut off


class FormAnswer(SQLModel, table=True):
    """A form that was sent: `answer` is empty, then encrypted. `began` is in seconds since 1970."""

    __tablename__ = "form_answer"
    __table_args__ = {"sqlite_with_rowid": False}

    key: str = Field(primary_key=True, max_length=64)
    began: float
    answer: str


class Answer(NamedTuple):
    """What a browser gets."""

    status: int
    headers: list[tuple[str, str]]


class Press:
    """One form as sent from one page in one browser. Of several presses, only the first does any work."""

    def __init__(self, database: Database, settings: Settings, *sent: bytes) -> None:
        self._database = database
        parts = b"".join(hashlib.sha256(part).digest() for part in sent)
        self._seed = hashlib.blake2b(parts, key=settings.key("forms"), digest_size=32).digest()
        self.key = self._derived(b"key").hex()

    async def begin(self) -> bool:
        """Whether this is the first press."""
        moment = clock.seconds()
        return bool(await self._write(_BEGIN, now=moment, over=moment - KEPT_SECONDS, stale=moment - LONGEST_WORK))

    async def answer(self) -> Answer | None:
        """The answer to the first press; None until there is one."""
        async with self._database.direct() as db:
            found = await _FIND.row(db, {"key": self.key})
        return Answer(*json.loads(signing.unseal([self._derived(b"seal")], found[0]))) if found else None

    async def keep(self, answer: Answer) -> None:
        await self._write(_KEEP, answer=signing.seal(self._derived(b"seal"), json.dumps(answer).encode()))

    async def forget(self) -> None:
        """The press failed, so the next one counts."""
        await self._write(_FORGET)

    async def _write(self, statement: Prepared, **values: object) -> list[tuple[object, ...]]:
        async with self._database.direct(is_writing=True, is_single=True) as db:
            rows = await statement.rows(db, {"key": self.key, **values})
            await db.commit()
        return rows

    def _derived(self, purpose: bytes) -> bytes:
        return hashlib.blake2b(self._seed, person=purpose, digest_size=32).digest()


def outdated() -> ColumnElement[bool]:
    """The SQL condition for answers that nobody gets any more, and for those of a clock that ran ahead."""
    moment = clock.seconds()
    return (col(FormAnswer.began) < moment - KEPT_SECONDS) | (col(FormAnswer.began) > moment + KEPT_SECONDS)


_BEGIN = Prepared(
    text(
        "INSERT INTO form_answer (key, began, answer) VALUES (:key, :now, '')"
        " ON CONFLICT (key) DO UPDATE SET began = excluded.began, answer = '' WHERE form_answer.began < :over"
        " OR form_answer.began > excluded.began + 60"
        " OR (form_answer.answer = '' AND form_answer.began < :stale) RETURNING key"
    )
)
_FIND = Prepared(text("SELECT answer FROM form_answer WHERE key = :key AND answer <> ''"))
_KEEP = Prepared(text("UPDATE form_answer SET answer = :answer WHERE key = :key"))
_FORGET = Prepared(text("DELETE FROM form_answer WHERE key = :key"))
