"""The reset: a link from the account's own mailbox sets a new password, and that ends everything else.

    asked for (views) -> emails.reset_password mints the link -> owner -> finish -> log in with the new password

A reset logs nobody in. The only thing it keeps is that a known browser stays known.
"""

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import users
from webapp.accounts.endings import Ended, Keep
from webapp.accounts.models import User
from webapp.accounts.tokens import Claim, Purpose, TokenMalformed, TokenUsed, verify
from webapp.audit.events import ClientInfo, Event
from webapp.passwords.hasher import Hasher
from webapp.settings import Settings


async def owner(db: AsyncSession, settings: Settings, token: str, opened: str = "") -> tuple[User, Claim]:
    """The owner of a reset link, and what the link says; `opened` is its form's stamp.

    Raises TokenInvalid; a link counts as used once its account has left the link's epoch.
    """
    claim = verify(settings, Purpose.RESET_PASSWORD, token, opened)
    user = await users.get(db, int(claim.subject))
    if user is None:
        raise TokenMalformed
    if user.epoch != claim.epoch or user.disabled_at is not None:
        raise TokenUsed(claim)
    return user, claim


async def finish(
    db: AsyncSession,
    hasher: Hasher,
    settings: Settings,
    user: User,
    password: str,
    client: ClientInfo,
    keep: Keep,
) -> Ended:
    """Sets the password, which ends everything and unlocks the account. Raises Overtaken (one wins) and Busy.

    `keep` has the recovery codes if a second factor was shown: the log-in that follows asks for one again, and somebody
    who has lost the phone has nothing else. It has a passkey if one was shown.
    """
    return await users.change_password(db, hasher, settings, user, password, client, Event.PASSWORD_RESET, keep)
