"""The code in an email beside its link, for the browser that asked: 8 digits, stored nowhere.

It is derived from the request, the account, its epoch and the end of the link: once when the email is written, and
again when the code is typed. So it lives and dies with the link, and a copy of the database holds nothing to type.

The email may have been written a while after it was asked for, or more than once. So the end is rounded up to a tenth
of the link's lifetime, and every end that is possible now is tried: about a dozen codes in 100 million.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import bindparam, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import clock
from webapp.accounts.models import User
from webapp.accounts.tokens import APP_LIFETIME, ASKED, CONFIRM_LIFETIME, REGISTER_LIFETIME, Purpose, by_invite, issue
from webapp.asked_emails.asked_emails import Asked
from webapp.database import CLOCKS_DIFFER, now, table
from webapp.database.hot import Prepared
from webapp.names.usernames import KeptUsername
from webapp.settings import Settings

CODE_DIGITS = 8
STEPS = 10  # possible ends within a link's lifetime

_users, _kept = table(User), table(KeptUsername)


@dataclass(frozen=True)
class Target:
    """What a code leads to, just as the link beside it does: the page for a purpose, and an account or an address."""

    purpose: Purpose
    subject: int | str
    epoch: int
    lifetime: timedelta
    about: str = ""

    @property
    def step(self) -> int:
        return int(self.lifetime.total_seconds()) // STEPS

    def last_end(self, moment: float) -> int:
        """When a link made at that moment ends, in Unix seconds, rounded up to the next step."""
        return -int(-(moment + self.lifetime.total_seconds()) // self.step) * self.step

    def ends(self, moment: float) -> range:
        """All possible ends of a link that works at that moment."""
        first = (int(moment) // self.step + 1) * self.step
        return range(first, self.last_end(moment + CLOCKS_DIFFER.total_seconds()) + 1, self.step)


def to_reset(settings: Settings, user_id: int, epoch: int) -> Target:
    return Target(Purpose.RESET_PASSWORD, user_id, epoch, timedelta(minutes=settings.reset_token_minutes))


def to_register(address: str, about: str = ASKED) -> Target:
    return Target(Purpose.REGISTER, address, 0, REGISTER_LIFETIME, about)


def to_confirm(change_id: int, epoch: int) -> Target:
    return Target(Purpose.CONFIRM_EMAIL, change_id, epoch, CONFIRM_LIFETIME)


def to_app(user_id: int, epoch: int) -> Target:
    return Target(Purpose.ADD_APP, user_id, epoch, APP_LIFETIME)


def mint(settings: Settings, asked_id: str, target: Target) -> str:
    """The code for an email that is being written, in two groups; empty if no page waits for it."""
    if not asked_id:
        return ""
    code = _derive(settings.key("email_code"), asked_id, target, target.last_end(clock.seconds()))
    return f"{code[:4]} {code[4:]}"


async def token_for(db: AsyncSession, settings: Settings, asked: Asked, code: str) -> str | None:
    """A token for the page behind the link, if this is the code in the email that was asked for.

    The work is the same whether or not there is an account, and whether or not the code is right.
    """
    target, is_somebody = await _target(db, settings, asked)
    keys = settings.keys("email_code")
    tried = [(end, _derive(key, asked.id, target, end)) for end in target.ends(clock.seconds()) for key in keys]
    right = [end for end, derived in tried if hmac.compare_digest(code, derived)]
    if not right or not is_somebody:
        return None
    left = timedelta(seconds=max(right) - int(clock.seconds()))
    return issue(settings, target.purpose, target.subject, min(left, target.lifetime), target.epoch, target.about)


async def _target(db: AsyncSession, settings: Settings, asked: Asked) -> tuple[Target, bool]:
    """What the email that was asked for leads to; and False if it went to nobody, or says something else."""
    if asked.kind == "register":
        return to_register(asked.recipient, by_invite(asked.invite) or ASKED), True
    if asked.kind == "confirm_email":
        return to_confirm(asked.change, asked.epoch), True
    statement = _BY_ID if asked.user_id else _BY_EMAIL if "@" in asked.recipient else _BY_NAME
    row = await statement.row(db, {"identity": asked.user_id or asked.recipient, "moment": now()})
    user_id, epoch, disabled_at, paused_until = row or (0, 0, None, None)
    is_paused = paused_until is not None and paused_until > now() and not asked.by_owner
    to = to_app(user_id, epoch) if asked.kind == "app_link" else to_reset(settings, user_id, epoch)
    return to, bool(row) and disabled_at is None and not is_paused


def _derive(key: bytes, asked_id: str, target: Target, end: int) -> str:
    said = f"{asked_id} {target.purpose} {target.epoch} {end} {target.subject} {target.about}"
    number = int.from_bytes(hmac.digest(key, said.encode(), hashlib.sha256))
    return f"{number % 10**CODE_DIGITS:0{CODE_DIGITS}}"


_ACCOUNT = select(_users.c.id, _users.c.epoch, _users.c.disabled_at, _users.c.reset_paused_until)
# A username that nobody uses any more still leads to its last owner.
_IS_KEPT = _kept.c.username_key == bindparam("identity"), _kept.c.kept_until > bindparam("moment")
_HAD_NAME = select(_kept.c.user_id).where(*_IS_KEPT).scalar_subquery()
_BY_ID = Prepared(_ACCOUNT.where(_users.c.id == bindparam("identity")))
_BY_EMAIL = Prepared(_ACCOUNT.where(_users.c.email == bindparam("identity")))
_BY_NAME = Prepared(_ACCOUNT.where(or_(_users.c.username_key == bindparam("identity"), _users.c.id == _HAD_NAME)))
