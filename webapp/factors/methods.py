"""What opens an account, and its factors: list them, add one, use one, remove them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, delete, func, update
from sqlalchemy import select as select_columns
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from webapp.accounts import endings, known_browsers, users
from webapp.accounts.models import Passkey, RecoveryCode, Session, User
from webapp.audit import events
from webapp.audit.events import ClientInfo, Event
from webapp.database import execute, now
from webapp.factors import sealing, totp
from webapp.factors.models import Factor, FactorKind
from webapp.settings import Settings
from webapp.signing import CannotDecrypt

BATCH = 100
MOST_AHEAD = 30  # more than there are steps that a phone's clock is searched for
NEW = timedelta(days=4)  # a day longer than the link in the email about it works, because emails can be late


@dataclass(frozen=True)
class Methods:
    """What opens an account: what a log-in asks for, and what the settings pages list.

    `codes` is how many recovery codes are left. They can replace a factor but aren't one: an account that has only
    codes has no second step. `synced` passkeys are on several devices. `sessions` is how many browsers are logged in.
    """

    account: User
    app: Factor | None
    codes: int
    codes_used_at: datetime | None
    passkeys: int
    synced: int
    passkeys_used_at: datetime | None
    sessions: int

    @property
    def has_second_step(self) -> bool:
        return self.app is not None

    @property
    def is_new(self) -> bool:
        """Whether the app was set up lately: if by somebody else, its owner must be told what to do."""
        return self.app is not None and self.app.created_at > now() - NEW


class AppTaken(Exception):
    """The account has got an app meanwhile."""


async def of(db: AsyncSession, user_id: int) -> Methods:
    """What opens an account, in one trip to the database. The account must be there."""
    app = (col(Factor.user_id) == col(User.id)) & (col(Factor.kind) == FactorKind.APP)
    used_at, is_alive = col(RecoveryCode.used_at), col(Passkey.epoch) == col(User.epoch)
    is_live = (col(Session.epoch) == col(User.epoch)) & (col(Session.expires_at) > now())
    query: Any = select_columns(
        User,
        Factor,
        _of(RecoveryCode, func.count() - func.count(used_at)),
        _of(RecoveryCode, func.max(used_at)),
        _of(Passkey, func.count(), is_alive),
        _of(Passkey, func.count(), is_alive, col(Passkey.is_synced)),
        _of(Passkey, func.max(Passkey.last_used_at), is_alive),
        _of(Session, func.count(), is_live),
    )
    return Methods(*(await db.exec(query.outerjoin_from(User, Factor, app).where(col(User.id) == user_id))).one())


def _of(model: Any, what: ColumnElement[Any], *which: Any) -> ScalarSelect[Any]:
    """Something about all that an account has of a kind."""
    return select_columns(what).where(col(model.user_id) == col(User.id), *which).correlate(User).scalar_subquery()


async def factors(db: AsyncSession, user_id: int) -> list[Factor]:
    """An account's factors, oldest first."""
    return list((await db.exec(factors_of(user_id))).all())


def factors_of(user_id: int) -> SelectOfScalar[Factor]:
    return select(Factor).where(col(Factor.user_id) == user_id).order_by(col(Factor.id))


async def has_second_step(db: AsyncSession, user_id: int) -> bool:
    """Whether logging in to an account takes more than the password."""
    return (await db.exec(select(Factor.id).where(col(Factor.user_id) == user_id).limit(1))).first() is not None


async def lacking(db: AsyncSession, addresses: Collection[str]) -> list[str]:
    """The addresses whose accounts have no second step."""
    query = select(User.email).where(col(User.email).in_(addresses), ~of_second_step()).order_by(col(User.email))
    return list(await db.exec(query))


def of_second_step() -> ColumnElement[bool]:
    """The SQL condition for accounts that have one."""
    return select(Factor.id).where(col(Factor.user_id) == col(User.id)).exists()


async def add_app(
    db: AsyncSession, settings: Settings, user: User, secret: str, step: int, client: ClientInfo
) -> Factor:
    """Adds an authenticator app, and tells the person. Raises AppTaken.

    `step` is the time step whose code has just been used.
    """
    factor = Factor(
        user_id=user.id,
        kind=FactorKind.APP,
        secret=sealing.seal(settings, secret, _about(user.id)),
        sealed_with=sealing.mark(settings),
        last_step=step,
    )
    try:
        async with db.begin_nested():
            db.add(factor)
            await db.flush()
    except IntegrityError:
        raise AppTaken from None
    await events.note(db, Event.FACTOR_ADDED, user.id, client, factor=FactorKind.APP.value)
    await users.tell(db, settings, user, "factor_added")
    return factor


async def use_app(db: AsyncSession, settings: Settings, user_id: int, code: str) -> str | None:
    """Uses up the time step of a right code, in the caller's transaction; returns what is wrong, or None if nothing is.

    If one code is sent several times at once, one attempt succeeds. The words are empty if the code is simply wrong. If
    there are some, the caller commits, too.
    """
    factor = (await of(db, user_id)).app
    secret = _secret(settings, factor) if factor else None
    if factor is None or secret is None:
        return ""
    step = totp.step_of(secret, code, now().timestamp())
    if step is None:
        return await _clock_is_off(db, factor, secret, code)
    values: dict[str, Any] = {"last_used_at": now()}
    if factor.sealed_with != sealing.mark(settings):
        values |= _sealed(settings, factor.user_id, secret)
    return None if await _spend(db, factor, step, values) else ""


async def _clock_is_off(db: AsyncSession, factor: Factor, secret: str, code: str) -> str:
    """What to say of a code that belongs to another time nearby; empty if it belongs to none.

    If that time is yet to come, the code is spent, or the words would tell a guesser when to send it again.
    """
    moment = now().timestamp()
    step = totp.step_nearby(secret, code, moment)
    if step is None:
        return ""
    if step > totp.step_at(moment):
        await _spend(db, factor, step, {})
    return totp.clock_is_off(step, moment)


async def _spend(db: AsyncSession, factor: Factor, step: int, values: dict[str, Any]) -> bool:
    """Uses up a time step; False if it was used already, or the app is gone.

    A step that is yet to come is kept beside the last one: using a code of now must not make it good again.
    """
    await endings.lock(db, factor.user_id)  # the account's row first, as in whatever ends everything
    this = col(Factor.id) == factor.id
    row = (await execute(db, select_columns(col(Factor.last_step), col(Factor.spent_ahead)).where(this))).first()
    if row is None:
        return False
    ahead, newest = {int(each) for each in row.spent_ahead.split()}, totp.step_at(now().timestamp()) + totp.DRIFT
    if step in ahead or step <= row.last_step <= step + 2 * totp.DRIFT:
        return False
    last = row.last_step if step > newest else step
    ahead |= {row.last_step, step}  # the last one is ahead if a clock was
    kept = sorted(each for each in ahead if each > last)[:MOST_AHEAD]
    await db.exec(update(Factor).where(this).values(last_step=last, spent_ahead=" ".join(map(str, kept)), **values))
    return True


async def remove(
    db: AsyncSession, settings: Settings, user: User, client: ClientInfo, *which: Any, how: str = ""
) -> int:
    """Removes an account's factors, or only `which`; stops trusting its browsers, and tells the person.

    Returns how many there were. `how` goes into the log and the email.
    """
    gone = delete(Factor).where(col(Factor.user_id) == user.id, *which).returning(col(Factor.kind))
    removed = list((await execute(db, gone)).scalars())
    if removed:
        await known_browsers.distrust(db, user.id)
        for kind in removed:
            await events.note(db, Event.FACTOR_REMOVED, user.id, client, factor=kind, how=how)
        await users.tell(db, settings, user, "factor_removed", factor="all" if how else removed[0], how=how)
    return len(removed)


async def reseal(db: AsyncSession, settings: Settings, after: int) -> int:
    """Encrypts anew a batch of what an older key encrypted; returns the last id it looked at, 0 when done.

    What no key decrypts is skipped.
    """
    batch = (
        select(Factor).where(*_outdated_seal(settings), col(Factor.id) > after).order_by(col(Factor.id)).limit(BATCH)
    )
    factors = (await db.exec(batch)).all()
    for factor in factors:
        if secret := _secret(settings, factor):
            unchanged = col(Factor.id) == factor.id, col(Factor.secret) == factor.secret
            await execute(db, update(Factor).where(*unchanged).values(_sealed(settings, factor.user_id, secret)))
    return factors[-1].id if factors else 0


async def waiting_for_reseal(db: AsyncSession, settings: Settings) -> int:
    """How many factors are encrypted with a key other than today's."""
    return (await db.exec(select(func.count()).select_from(Factor).where(*_outdated_seal(settings)))).one()


def _outdated_seal(settings: Settings) -> tuple[ColumnElement[bool], ...]:
    return col(Factor.sealed_with) != sealing.mark(settings), col(Factor.secret) != ""


def _secret(settings: Settings, factor: Factor) -> str | None:
    """An app's secret; None if it was encrypted with a key that is gone."""
    try:
        return sealing.unseal(settings, factor.secret, _about(factor.user_id))
    except CannotDecrypt:
        return None


def _sealed(settings: Settings, user_id: int, secret: str) -> dict[str, Any]:
    return {"secret": sealing.seal(settings, secret, _about(user_id)), "sealed_with": sealing.mark(settings)}


def _about(user_id: int) -> str:
    """Binds a secret to its account: copied into another row, it opens nothing."""
    return f"app of {user_id}"
