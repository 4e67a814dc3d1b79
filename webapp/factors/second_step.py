"""The second step of a log-in: what is kept between the first step and the second.

    password (views.login) -> begin -> the page of the second step -> proof.try_code -> finish -> a session

Nobody is logged in meanwhile. If the second step isn't finished, the owner is told that somebody knows the password.
"""

from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import rate_limits
from webapp.accounts import known_browsers, users
from webapp.accounts.models import User
from webapp.audit.events import ClientInfo
from webapp.database import now, recent
from webapp.factors import codes, methods, totp
from webapp.factors.models import PendingLogIn
from webapp.i18n import gettext as _
from webapp.passwords.hasher import Hasher
from webapp.rate_limits import Use
from webapp.settings import Settings

LIFETIME = timedelta(minutes=10)
KEPT = timedelta(days=2)  # for the email about log-ins that weren't finished


async def is_due(db: AsyncSession, user: User, client: ClientInfo) -> bool:
    """Whether a log-in with the password must pass the second step in this browser."""
    if not await methods.has_second_step(db, user.id):
        return False
    return not await known_browsers.is_trusted(db, user.id, client.browser_mark, user.epoch)


async def begin(db: AsyncSession, settings: Settings, user: User, client: ClientInfo, *, is_remembered: bool) -> str:
    """Records that the password was right; returns the cookie's secret. If nothing follows, the owner is told."""
    secret = known_browsers.new_secret()
    pending = PendingLogIn(
        token_hash=known_browsers.hashed(secret),
        user_id=user.id,
        epoch=user.epoch,
        is_remembered=is_remembered,
        user_agent=client.user_agent[:300],
        client_ip=client.client_ip,
    )
    db.add(pending)
    await db.flush()
    seen = {"pending": pending.id, "browser": pending.user_agent, "client_ip": pending.client_ip}
    await users.tell(db, settings, user, "second_step_unfinished", delay=LIFETIME, **seen)
    return secret


async def find(db: AsyncSession, secret: str) -> tuple[PendingLogIn, User] | None:
    """The waiting log-in behind a cookie, and its person; None if it took too long or the account has changed."""
    this = col(PendingLogIn.token_hash) == known_browsers.hashed(secret), col(PendingLogIn.epoch) == col(User.epoch)
    waits = col(PendingLogIn.finished_at).is_(None), recent(col(PendingLogIn.created_at), LIFETIME)
    query = select(PendingLogIn, User).join(User).where(*this, *waits, col(User.disabled_at).is_(None))
    return (await db.exec(query)).first()


async def finish(db: AsyncSession, pending: PendingLogIn) -> bool:
    """Ends the wait, and that of earlier attempts from the same place; False if somebody else has already ended it."""
    waits = col(PendingLogIn.finished_at).is_(None)
    this = update(PendingLogIn).where(col(PendingLogIn.id) == pending.id, waits).values(finished_at=now())
    is_first = (await db.exec(this)).rowcount == 1
    from_here = (
        col(PendingLogIn.user_id) == pending.user_id,
        col(PendingLogIn.client_ip) == pending.client_ip,
        col(PendingLogIn.user_agent) == pending.user_agent,
    )
    await db.exec(update(PendingLogIn).where(*from_here, waits).values(finished_at=now()))
    return is_first


async def is_finished(db: AsyncSession, pending_id: int) -> bool:
    """Whether the second step was passed; also true once it is no longer stored."""
    pending = await db.get(PendingLogIn, pending_id)
    return pending is None or pending.finished_at is not None


class Wrong(Exception):
    """This is not a right answer to the second step. `is_guess` unless it couldn't be a code at all."""

    def __init__(self, words: str, *, is_guess: bool = True) -> None:
        super().__init__(words)
        self.is_guess = is_guess


def check_shape(typed: str, *, takes_codes: bool) -> None:
    """Raises Wrong for what can't be a code, so that it doesn't count as an attempt."""
    if totp.canonical(typed):
        return
    if not takes_codes:
        raise Wrong(_("Type the six digits that your authenticator app shows."), is_guess=False)
    try:
        codes.canonical(typed)
    except ValueError:
        words = _("Type the six digits that your authenticator app shows, or one of your recovery codes.")
        raise Wrong(words, is_guess=False) from None


async def answer(
    db: AsyncSession, hasher: Hasher, settings: Settings, user: User, typed: str, client: ClientInfo
) -> str:
    """Uses up a code of the app ("app") or a recovery code ("code") of the account, in the caller's transaction.

    If one code is sent several times at once, one attempt succeeds. Raises Wrong, and Busy, since it frees the
    connection to hash.
    """
    if digits := totp.canonical(typed):
        wrong = await methods.use_app(db, settings, user.id, digits)
        if wrong is not None:
            raise Wrong(wrong or _("That code isn't right, or it has been used. Wait for the next one."))
        return "app"
    if not await codes.stand_in(db, hasher, settings, user, codes.canonical(typed), client):
        raise Wrong(_("That recovery code isn't right, or it has been used."))
    return "code"


async def attempts(db: AsyncSession, user: User, client: ClientInfo, *, by_link: bool) -> list[Use]:
    """What an attempt counts for. Commit it before checking the code, so that simultaneous guesses count, too.

    On the form behind a reset link it counts apart: somebody with the password could use up the owner's attempts.
    """
    if browser := await known_browsers.counted_as(db, user.id, client.browser_mark, user.epoch):
        return [(rate_limits.SECOND_STEP_KNOWN_BROWSER, browser)]
    of_client_ip = (rate_limits.SECOND_STEP_CLIENT_IP, client.client_ip)
    return [*_of_account(user, client, by_link=by_link), of_client_ip]


def forgotten(user: User, client: ClientInfo, counted: Iterable[Use]) -> list[Use]:
    """The counts that start anew after a right answer, which was `counted` itself."""
    return [*_of_account(user, client, by_link=False), *(use for use in counted if not use[0].of_client_ip)]


def behind_link(user_id: int) -> str:
    """Who is counted on the form behind a reset link."""
    return f"reset {user_id}"


def _of_account(user: User, client: ClientInfo, *, by_link: bool) -> list[Use]:
    who = behind_link(user.id) if by_link else str(user.id)
    return [(rate_limits.SECOND_STEP, f"{who} {client.client_ip}"), (rate_limits.SECOND_STEP_ANYWHERE, who)]
