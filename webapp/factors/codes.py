"""Recovery codes: ten to print. Each leads to a new password or replaces a second factor, once.

A code has twelve characters, shown as xxxx-xxxx-xxxx. The first four are its label, which finds the row. The other
eight (39 bits) are stored only as an argon2id hash.
"""

import re
import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, func
from sqlmodel import col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import rate_limits
from webapp.accounts import endings, users
from webapp.accounts.models import RecoveryCode, User
from webapp.audit import events
from webapp.audit.events import ClientInfo, Event
from webapp.database import now
from webapp.i18n import gettext as _
from webapp.passwords.hasher import Hasher, Place
from webapp.rate_limits import Use
from webapp.settings import Settings

MANY = 10
ALPHABET = "23456789abcdefghjkmnpqrstvwxyz"  # no 0 or o, no 1, i or l, no u beside v
LABEL = 4
_CODE = re.compile(f"[{ALPHABET}]{{12}}")
_BY_LABEL = select(RecoveryCode).where(
    col(RecoveryCode.user_id) == bindparam("user_id"), col(RecoveryCode.label) == bindparam("label")
)


def canonical(text: str) -> str:
    """The form in which to look up a code, however it was typed. Raises ValueError with words for the visitor."""
    code = re.sub(r"[\s\-\u2010-\u2015\u2212]", "", text).lower()
    if not _CODE.fullmatch(code):
        raise ValueError(_("A recovery code looks like xxxx-xxxx-xxxx, without 0, 1, i, l, o or u."))
    return code


async def make(
    db: AsyncSession,
    hasher: Hasher,
    settings: Settings,
    user: User,
    session_id: int,
    client: ClientInfo,
    shown: Sequence[str] = (),
) -> list[str]:
    """Gives the account ten new codes: the `shown` ones if given, otherwise fresh ones to be shown once.

    Older codes stop working. Raises Overtaken if the account has left the epoch in which `user` was read, or the
    asker's session has ended. Frees the connection while it hashes. Raises Busy.
    """
    made = [canonical(code) for code in shown] or _new_codes()
    by = client.client_ip, user.email
    rows = [
        RecoveryCode(user_id=user.id, label=code[:LABEL], code_hash=await hasher.hash(db, code[LABEL:], *by))
        for code in made
    ]
    await endings.hold(db, user.id, user.epoch, session_id)  # this also makes others who make codes wait
    await db.exec(delete(RecoveryCode).where(col(RecoveryCode.user_id) == user.id))
    db.add_all(rows)
    await events.note(db, Event.RECOVERY_CODES_MADE, user.id, client)
    await users.tell(db, settings, user, "recovery_codes_made")
    return [_spelled(code) for code in made]


async def left(db: AsyncSession, user_id: int) -> int:
    """How many unused codes an account has."""
    unused = col(RecoveryCode.user_id) == user_id, col(RecoveryCode.used_at).is_(None)
    return (await db.exec(select(func.count()).select_from(RecoveryCode).where(*unused))).one()


def attempts(identity: str, client: ClientInfo, browser: str) -> list[Use]:
    """What an attempt with a code counts for: in a `browser` that the account is known by, nothing that strangers can
    use up. Commit it before checking the code.
    """
    if browser:
        return [(rate_limits.RECOVER_KNOWN_BROWSER, browser)]
    of_identity = (rate_limits.RECOVER, f"{identity} {client.client_ip}"), (rate_limits.RECOVER_ANYWHERE, identity)
    return [*of_identity, (rate_limits.RECOVER_CLIENT_IP, client.client_ip)]


async def use(
    db: AsyncSession, place: Place, settings: Settings, identity: str, code: str, client: ClientInfo
) -> User | None:
    """Uses up a code; returns its owner. If it is used several times at once, one attempt succeeds.

    The work is the same whatever is wrong with the name or the code. Frees the connection while it hashes.
    """
    async with place.with_database(db):
        user = await users.find(db, identity)
        row = await _of_label(db, user, code)
    row = await _checked(db, place, user, row, code)
    return await _spend(db, settings, row, client, "") if row else None


async def stand_in(
    db: AsyncSession, hasher: Hasher, settings: Settings, user: User, code: str, client: ClientInfo
) -> bool:
    """Uses up a known person's code in place of a factor; returns whether it was right. Like `use`, but raises Busy."""
    with hasher.place(client.client_ip, user.username_key) as place:
        row = await _checked(db, place, user, await _of_label(db, user, code), code)
    return row is not None and await _spend(db, settings, row, client, "factor") is not None


def new() -> list[str]:
    """Ten fresh codes, as they are shown; see `make`."""
    return [_spelled(code) for code in _new_codes()]


async def _of_label(db: AsyncSession, user: User | None, code: str) -> RecoveryCode | None:
    """The row whose code begins like this one."""
    of_user = {"user_id": user.id if user else 0, "label": code[:LABEL]}
    return (await db.exec(_BY_LABEL, params=of_user)).first()


async def _checked(
    db: AsyncSession, place: Place, user: User | None, row: RecoveryCode | None, code: str
) -> RecoveryCode | None:
    """The row if its code is right and unused; None, after the same work, if it isn't."""
    is_right = await place.matching(db, code[LABEL:], row.code_hash if row else None) is not None
    if user is None or user.disabled_at is not None or row is None or row.used_at is not None or not is_right:
        return None
    return row


async def _spend(
    db: AsyncSession, settings: Settings, row: RecoveryCode, client: ClientInfo, instead_of: str
) -> User | None:
    """Uses up a checked code, unless it was used or replaced meanwhile; returns its owner."""
    await endings.lock(db, row.user_id)  # the account's row first, as in whatever ends everything
    unspent = col(RecoveryCode.code_hash) == row.code_hash, col(RecoveryCode.used_at).is_(None)
    this = col(RecoveryCode.user_id) == row.user_id, col(RecoveryCode.label) == row.label, *unspent
    if (await db.exec(update(RecoveryCode).where(*this).values(used_at=now()))).rowcount != 1:
        return None
    user, remaining = await users.owner(db, row.user_id), await left(db, row.user_id)
    what: dict[str, Any] = {"instead_of": instead_of} if instead_of else {}
    await events.note(db, Event.RECOVERY_CODE_USED, row.user_id, client, left=remaining, **what)
    await users.tell(db, settings, user, "recovery_code_used", left=remaining, **what)
    return user


def _spelled(code: str) -> str:
    return f"{code[:4]}-{code[4:8]}-{code[8:]}"


def _new_codes() -> list[str]:
    """Ten codes with different labels."""
    found: dict[str, str] = {}
    while len(found) < MANY:
        code = "".join(secrets.choice(ALPHABET) for _place in range(12))
        found[code[:LABEL]] = code
    return list(found.values())
