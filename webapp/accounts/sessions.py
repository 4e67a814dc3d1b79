"""Sessions: the rows behind the cookies. Find, open, renew, list and end them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Integer, bindparam, delete, exists, func, literal_column, select, update
from sqlmodel import col
from sqlmodel import select as select_rows
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import known_browsers
from webapp.accounts.models import Passkey, Session, User
from webapp.audit.events import ClientInfo
from webapp.database import execute, is_recent, now, table
from webapp.database.hot import Direct, Prepared, Transaction
from webapp.mail.models import MailStatus, RefusedAddress

REMEMBERED = timedelta(days=14)  # since it was last used
UNREMEMBERED = timedelta(hours=24)  # or until the browser closes
ABSOLUTE = timedelta(days=90)
PROVED = timedelta(minutes=15)  # how long a proof counts
MOST = 20
SEEN_EVERY = timedelta(minutes=1)
CHECKUP_EVERY = timedelta(days=365)
MOST_NEWS = 50
MOST_LOOKED_AT = 500  # the newest: somebody who was muted may have written thousands since, and every page looks

_sessions, _users = table(Session), table(User)
_refusals, _passkeys, _status = table(RefusedAddress), table(Passkey), table(MailStatus)


@dataclass(frozen=True)
class SessionUser:
    """Who is making the request, and in which session."""

    id: int
    username: str
    email: str
    epoch: int
    language: str
    session_id: int
    is_remembered: bool
    opened_at: datetime
    seen: datetime
    is_address_refused: bool
    has_passkeys: bool
    offers_passkey: bool  # a first one: they have typed a password to log in, and haven't declined
    offers_checkup: bool
    proved_at: datetime
    second_proved_at: datetime | None
    has_second_step: bool
    factor_removal_due_at: datetime | None
    picture: int
    mentions_seen_at: datetime
    news: int  # mentions, replies and followers since then, MOST_NEWS at most of each
    is_mail_paused: bool  # of the whole site, which only admins are told

    @property
    def is_proved(self) -> bool:
        """Whether they have proved who they are recently enough to change the account without being asked again."""
        return is_recent(self.proved_at, PROVED) and not self.owes_second_step

    @property
    def owes_second_step(self) -> bool:
        """Whether the account has a second step that this session hasn't passed recently: the password isn't enough."""
        is_passed = self.second_proved_at is not None and is_recent(self.second_proved_at, PROVED)
        return self.has_second_step and not is_passed

    @property
    def proves(self) -> str:
        """What a passkey is asked about to prove who somebody is: an answer counts in this session only."""
        return f"prove {self.id} {self.epoch} {self.session_id}"

    @property
    def is_seen_again(self) -> bool:
        """Whether the last recorded visit is old enough to record another."""
        return not is_recent(self.seen, SEEN_EVERY)


async def find(db: Transaction, secret: str) -> SessionUser | None:
    """The person and the session that a cookie belongs to; None if there is none."""
    values = {"token_hash": known_browsers.hashed(secret), "moment": now(), "checked_before": now() - CHECKUP_EVERY}
    row = await _CURRENT.row(db, values)
    return SessionUser(*row) if row else None


async def touch(db: Direct, user: SessionUser) -> None:
    """Records the visit, and extends a remembered session; on PostgreSQL in a single statement."""
    until = min(now() + REMEMBERED, user.opened_at + ABSOLUTE) if user.is_remembered else None
    values = {"session": user.session_id, "user": user.id, "moment": now(), "until": until}
    for statement in _SEEN[db.dialect.name]:
        await statement.rows(db, values)


async def note_mentions_seen(db: AsyncSession, user_id: int) -> None:
    """Notes that the person has seen what is new about them."""
    await execute(db, update(_users).where(_users.c.id == user_id).values(mentions_seen_at=now()))


async def note_proof(db: AsyncSession, session_id: int, *, with_second: bool) -> bool:
    """Records that the person here has just proved who they are, maybe `with_second` step; False if it has ended."""
    values = {"proved_at": now()} | ({"second_proved_at": now()} if with_second else {})
    return bool((await execute(db, update(_sessions).where(_sessions.c.id == session_id).values(values))).rowcount)


async def open_new(
    db: AsyncSession, user: User, client: ClientInfo, *, is_remembered: bool, passkey: int | None, with_second: bool
) -> str:
    """Adds a session in the epoch in which the password was checked; returns the cookie's secret."""
    secret = known_browsers.new_secret()
    db.add(
        Session(
            token_hash=known_browsers.hashed(secret),
            user_id=user.id,
            epoch=user.epoch,
            is_remembered=is_remembered,
            user_agent=client.user_agent[:300],
            client_ip=client.client_ip,
            browser_mark=client.browser_mark,
            passkey_id=passkey,
            second_proved_at=now() if with_second or passkey else None,
            expires_at=now() + (REMEMBERED if is_remembered else UNREMEMBERED),
        )
    )
    await db.flush()
    await _end_oldest(db, user.id)
    return secret


async def renew(db: AsyncSession, session_id: int, epoch: int) -> str | None:
    """Carries a session over into the account's new epoch; returns its new secret, or None if it was ended."""
    secret = known_browsers.new_secret()
    values = {"token_hash": known_browsers.hashed(secret), "epoch": epoch, "last_seen_at": now()}
    renewed = await execute(db, update(_sessions).where(_sessions.c.id == session_id).values(values))
    return secret if renewed.rowcount else None


async def of(db: AsyncSession, user: SessionUser) -> Sequence[Session]:
    """A person's live sessions: the current one first, then the last seen."""
    rows = await db.exec(select_rows(Session).where(*live(user)).order_by(col(Session.last_seen_at).desc()))
    return sorted(rows, key=lambda session: session.id != user.session_id)


async def count(db: AsyncSession, user: User) -> int:
    """How many browsers are logged in to an account."""
    return (await execute(db, select(func.count()).where(*live(user)))).scalar_one()


async def end(db: AsyncSession, secret: str) -> None:
    """Ends the session of a cookie."""
    await execute(db, delete(_sessions).where(_sessions.c.token_hash == known_browsers.hashed(secret)))


async def end_others(db: AsyncSession, user: SessionUser, browser_mark: str, ids: Sequence[int]) -> int:
    """Ends a person's other sessions with these ids, and forgets their browsers but this one; returns how many."""
    others = _sessions.c.id.in_(ids), _sessions.c.id != user.session_id
    ended = delete(_sessions).where(*live(user), *others)
    marks = list((await execute(db, ended.returning(_sessions.c.browser_mark))).scalars())
    await known_browsers.forget(db, user.id, set(marks) - {browser_mark})
    return len(marks)


async def end_all(db: AsyncSession, user_id: int, epoch: int, but: int | None) -> int:
    """Ends every session of an account except one; returns how many of them were still valid in the epoch."""
    all_others = _sessions.c.user_id == user_id, _sessions.c.id != (but or 0)
    was_alive = (_sessions.c.epoch == epoch) & (_sessions.c.expires_at > now())
    return sum((await execute(db, delete(_sessions).where(*all_others).returning(was_alive))).scalars())


def live(user: Any) -> tuple[ColumnElement[bool], ...]:
    """The SQL conditions of the open sessions of a `user`: an object, or the columns of a statement."""
    return _sessions.c.user_id == user.id, _sessions.c.epoch == user.epoch, _sessions.c.expires_at > now()


async def _end_oldest(db: AsyncSession, user_id: int) -> None:
    kept = select(_sessions.c.id).where(_sessions.c.user_id == user_id).order_by(_sessions.c.id.desc()).limit(MOST)
    await execute(db, delete(_sessions).where(_sessions.c.user_id == user_id, _sessions.c.id.not_in(kept)))


# What is new about whoever asks, and whether they have a second step, in the statement that is made anyway. So it calls
# the tables of other rooms by their names; what is not to be counted is said in people/blocks.py and
# posts/statements.py, and a test compares them.
_SINCE = "coalesce(user_account.mentions_seen_at, user_account.created_at)"
_HIDDEN = """
    SELECT 1 FROM mute WHERE muter_id = user_account.id AND muted_id = other.id
    UNION ALL SELECT 1 FROM block WHERE blocker_id = user_account.id AND blocked_id = other.id
    UNION ALL SELECT 1 FROM block WHERE blocker_id = other.id AND blocked_id = user_account.id
"""
_NEWS = """
    (SELECT count(*) FROM (
        SELECT 1 FROM (
            SELECT post_id, ended_at FROM mention WHERE user_id = user_account.id AND created_at > {since}
            ORDER BY created_at DESC LIMIT {looked}
        ) AS newest JOIN post ON post.id = newest.post_id JOIN user_account AS other ON other.id = post.author_id
        WHERE newest.ended_at IS NULL AND post.id > 0 AND post.deleted_at IS NULL AND post.removed_at IS NULL
        AND other.id <> user_account.id AND other.disabled_at IS NULL AND NOT EXISTS ({hidden}) LIMIT {most}
    ) AS mentions)
    + (SELECT count(*) FROM (
        SELECT 1 FROM (
            SELECT follower_id FROM follow WHERE followed_id = user_account.id AND created_at > {since}
            ORDER BY created_at DESC LIMIT {looked}
        ) AS newest JOIN user_account AS other ON other.id = newest.follower_id
        WHERE other.disabled_at IS NULL AND NOT EXISTS ({hidden}) LIMIT {most}
    ) AS followers)
"""
_HAS_PASSKEYS = exists().where(_passkeys.c.user_id == _users.c.id)
_CURRENT = Prepared(
    select(
        _users.c.id,
        _users.c.username,
        _users.c.email,
        _users.c.epoch,
        _users.c.language,
        _sessions.c.id,
        _sessions.c.is_remembered,
        _sessions.c.created_at,
        _sessions.c.last_seen_at,
        exists().where(_refusals.c.address == _users.c.email),
        _HAS_PASSKEYS,
        ~_HAS_PASSKEYS & _users.c.password_used_at.is_not(None) & _users.c.passkey_declined_at.is_(None),
        func.coalesce(_users.c.checkup_at, _users.c.created_at)
        < bindparam("checked_before", type_=_users.c.created_at.type),
        _sessions.c.proved_at,
        _sessions.c.second_proved_at,
        literal_column("EXISTS (SELECT 1 FROM factor WHERE factor.user_id = user_account.id)", Boolean),
        _users.c.factor_removal_due_at,
        _users.c.picture,
        func.coalesce(_users.c.mentions_seen_at, _users.c.created_at),
        literal_column(_NEWS.format(since=_SINCE, hidden=_HIDDEN, most=MOST_NEWS, looked=MOST_LOOKED_AT), Integer),
        exists().where(_status.c.paused_at.is_not(None)),
    )
    .join_from(_sessions, _users, _sessions.c.user_id == _users.c.id)
    .where(
        _sessions.c.token_hash == bindparam("token_hash"),
        _sessions.c.expires_at > bindparam("moment"),
        _sessions.c.epoch == _users.c.epoch,
        _users.c.disabled_at.is_(None),
    )
)
_MOMENT = bindparam("moment", type_=_users.c.last_seen_at.type)
_UNTIL = func.coalesce(bindparam("until", type_=_sessions.c.expires_at.type), _sessions.c.expires_at)
_HERE = update(_users).where(_users.c.id == bindparam("user")).values(last_seen_at=_MOMENT)
_USED = update(_sessions).where(_sessions.c.id == bindparam("session")).values(last_seen_at=_MOMENT, expires_at=_UNTIL)
_SEEN = {"sqlite": (Prepared(_HERE), Prepared(_USED)), "postgresql": (Prepared(_HERE.add_cte(_USED.cte("used"))),)}
