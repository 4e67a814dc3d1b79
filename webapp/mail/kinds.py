"""The registry of the kinds of email.

A kind of email is one function with `@email_kind(...)` and two templates, `email/{name}.txt` (which carries
the subject) and `email/{name}.html`.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import i18n as languages
from webapp import rate_limits
from webapp.database import now
from webapp.database.hot import Prepared, Transaction
from webapp.mail import outbox, status
from webapp.mail.models import READY, Claimed, Priority
from webapp.rate_limits import Limit, Rate, Use
from webapp.settings import Settings

# The first notice of its kind leaves at once; what happens again within this time becomes one more, which counts.
REPEATS_WITHIN = timedelta(minutes=10)


@dataclass(frozen=True)
class Draft:
    """What the writer of an email decides: its one recipient, and the template's name and values.

    With `message`, which is the whole content, it needs no template. `headers` go before those that every email has.
    The value `unsubscribe_link` turns off emails of this kind, and goes into the headers, too (RFC 8058). If `language`
    is empty, it is the account's (`user_id`), and for a warning the one from before a recent change; for strangers,
    that of the page that asked.
    """

    template: str
    recipient: str
    values: dict[str, Any] = field(default_factory=dict)
    user_id: int | None = None
    message: EmailMessage | None = None
    headers: dict[str, str] = field(default_factory=dict)
    language: str | None = None


Samples = Callable[[Settings], list[Draft]]
Writer = Callable[[AsyncSession, Settings, Claimed], Awaitable[Draft | None]]


async def _nobody(_db: AsyncSession, _settings: Settings, _email: Claimed) -> Draft | None:
    return None


@dataclass(frozen=True)
class Kind:
    """A kind of email. As a decorator, it registers who writes it.

    The writer is called at each attempt, so the links it makes are fresh. It returns None if there is nobody to write
    to. `samples` drafts everything it may write, for the gallery and the tests. An email that couldn't be sent within
    its lifetime is given up.

    An optional email has a switch in each person's settings: `label` is the English text beside it, and `default_on`
    how it is set at first. Whether to send one that `is_security` is decided when it is posted, and not again when it
    is written. Turning off such emails takes the password, and is itself told by email.

    An email that somebody is waiting for has the priority WAITED_FOR, what strangers can have sent to any address is
    for a NEWCOMER, and all others are notices; `budget.shared` says what each may use of the hour's budget. Several
    notices to one person become one email, which says what the last one says and how many there were, unless each says
    something of its own (`counts_repeats`); for the parameters it `keeps`, it says the first value.
    """

    name: str
    _: KW_ONLY
    expires_after: timedelta
    samples: Samples
    label: str = ""
    default_on: bool = True
    priority: Priority = Priority.NOTICE
    counts_repeats: bool = True
    is_security: bool = False
    keeps: tuple[str, ...] = ()
    write: Writer = _nobody

    def __call__(self, writer: Writer) -> Writer:
        KINDS[self.name] = replace(self, write=writer)
        return writer

    @property
    def is_optional(self) -> bool:
        return bool(self.label)

    @property
    def is_warning(self) -> bool:
        """Whether it tells of something that somebody else may have done to the account. For a while after a change of
        language, it still comes in the one from before.
        """
        return self.priority is Priority.NOTICE or self.is_security

    @property
    def is_batched(self) -> bool:
        return self.priority is Priority.NOTICE and self.counts_repeats


email_kind = Kind
KINDS: dict[str, Kind] = {}


def lifetimes() -> dict[str, timedelta]:
    """How long each kind of email is worth sending, by name."""
    return {name: kind.expires_after for name, kind in KINDS.items()}


async def post(
    db: Transaction,
    settings: Settings,
    kind: str,
    recipient: str,
    *,
    user_id: int | None = None,
    language: str | None = None,
    delay: timedelta = timedelta(),
    by_anybody: bool = False,
    uses: Sequence[Use] = (),
    **parameters: Any,
) -> bool:
    """Posts an email of a registered kind in the caller's transaction. See `outbox.post`.

    Its language is that of the account, if one is given, else the current one. A notice that repeats a recent one waits
    a little, and becomes one email with those that follow. What one account waits for leaves first only so often;
    what a stranger may have asked for, `by_anybody`, leaves after it.
    """
    priority = KINDS[kind].priority
    if by_anybody and priority is Priority.WAITED_FOR:
        priority = Priority.ASKED_BY_ANYBODY
    if user_id is not None and KINDS[kind].is_batched:
        told = await _repeats(db, settings, kind, recipient, user_id, parameters)
        if told is None:
            return await status.is_delayed(db)
        delay, repeats = told
        parameters |= repeats
    if user_id is not None and priority is Priority.WAITED_FOR:
        priority, uses = await _in_turn(db, settings, user_id, uses), ()
    return await outbox.post(
        db,
        settings,
        kind,
        recipient=recipient,
        language=language or languages.current(),
        expires_after=KINDS[kind].expires_after,
        user_id=user_id,
        parameters=parameters,
        delay=delay,
        priority=priority,
        uses=uses,
    )


async def _in_turn(db: Transaction, settings: Settings, user_id: int, uses: Sequence[Use]) -> Priority:
    """The priority of an email that an account waits for, once its `uses` are counted.

    Whatever counts both counts in this order: otherwise two of one person could deadlock.
    """
    if uses:
        await rate_limits.count(db, settings, *uses)
    times, _ends = await rate_limits.tally(db, settings, rate_limits.WAITED_FOR_FIRST, str(user_id))
    return Priority.WAITED_FOR if times <= rate_limits.WAITED_FOR_FIRST.rates[0].times else Priority.NOTICE


async def post_to_each(db: Transaction, settings: Settings, kind: str, admins: Iterable[str], delay: timedelta) -> None:
    """Posts an email to each of some ADMINS, in the site's own language."""
    for address in sorted(admins):
        await post(db, settings, kind, address, language=settings.languages[0], delay=delay)


async def _repeats(
    db: Transaction, settings: Settings, kind: str, recipient: str, user_id: int, parameters: dict[str, Any]
) -> tuple[timedelta, dict[str, Any]] | None:
    """How long a notice waits for others of its kind, and what it says about them; None if a waiting one covers it."""
    limit = Limit(f"notice_{kind}", (Rate(1, int(REPEATS_WITHIN.total_seconds())),))
    times, ends = await rate_limits.tally(db, settings, limit, f"{user_id} {recipient}")
    if await _merge(db, kind, recipient, user_id, parameters):
        return None
    if times == 1:
        return timedelta(), {}
    return ends - now(), {"count": times, "since": (ends - REPEATS_WITHIN).isoformat(), "until": now().isoformat()}


async def _merge(db: Transaction, kind: str, recipient: str, user_id: int, parameters: dict[str, Any]) -> bool:
    """Updates a waiting email that was never tried so that it covers this one, too; returns whether there is one.

    The caller must make sure that nobody else posts such an email at the same time.
    """
    which = {"which_kind": kind, "whose": user_id, "which_recipient": recipient}
    if not (row := await _WAITING.row(db, which)):
        return False
    email_id, created_at, before = row
    count, since = before.get("count", 1) + 1, before.get("since", created_at.isoformat())
    kept = {name: before[name] for name in KINDS[kind].keeps if before.get(name)}
    told = parameters | kept | {"count": count, "since": since, "until": now().isoformat()}
    return bool(await _MERGE.rows(db, {"waiting": email_id, "all_told": told}))


_UNTRIED = (outbox.emails.c.state == READY) & (outbox.emails.c.attempts == 0)
_WAITING = Prepared(
    select(outbox.emails.c.id, outbox.emails.c.created_at, outbox.emails.c.parameters).where(
        outbox.emails.c.user_id == bindparam("whose"),
        outbox.emails.c.kind == bindparam("which_kind"),
        outbox.emails.c.recipient == bindparam("which_recipient"),
        _UNTRIED,
    )
)
_MERGE = Prepared(
    update(outbox.emails)
    .where(outbox.emails.c.id == bindparam("waiting"), _UNTRIED)
    .values(parameters=bindparam("all_told"))
    .returning(outbox.emails.c.id)
)
