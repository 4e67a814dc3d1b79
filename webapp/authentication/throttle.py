"""How often a password may be tried, so that guessing is slow and the account is never locked.

5 tries in 5 minutes for each name and network, and 30 a minute for each network. A browser in which the person has
logged in before is counted by itself instead: whoever guesses from the same network, or from many, does not lock
them out of it.
"""

from typing import Any

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import rate_limits
from webapp.accounts import users
from webapp.accounts.models import KnownBrowser, User
from webapp.audit.events import ClientInfo
from webapp.database.hot import Transaction
from webapp.mail import kinds
from webapp.rate_limits import Rate
from webapp.settings import Settings

Use = tuple[str, str, tuple[Rate, ...]]

TRIES_PER_NAME = (Rate(5, 300),)
TRIES_PER_CLIENT_IP = (Rate(30, 60),)
# For each typed name or address, whether somebody has it or not, and for each network.
EMAILS_PER_ADDRESS = (Rate(1, 60), Rate(3, 3600), Rate(10, 86400))
EMAILS_PER_CLIENT_IP = (Rate(20, 3600),)


async def count(db: AsyncSession, settings: Settings, typed: str, client: ClientInfo) -> None:
    """Counts a try; to be committed before the password is looked at. Raises TooOften.

    The work is the same whether somebody has the name or not.
    """
    identity = users.identity_or_nonsense(typed)
    owner = await _owner(db, identity, client.browser_mark) if client.browser_mark else None
    if owner is not None:
        await rate_limits.count(db, settings, _in_known_browser(owner, client))
    else:
        client_ip = "login_network", client.client_ip, TRIES_PER_CLIENT_IP
        await rate_limits.count(db, settings, _from_network(identity, client), client_ip)


async def forget(db: AsyncSession, settings: Settings, typed: str, client: ClientInfo, owner: int) -> None:
    """Starts the counts of a name anew, after the right password."""
    identity = users.identity_or_nonsense(typed)
    await rate_limits.forget(db, settings, *_from_network(identity, client))
    await rate_limits.forget(db, settings, *_in_known_browser(owner, client))


async def ask_for(
    db: Transaction,
    settings: Settings,
    kind: str,
    recipient: str,
    *,
    client_ip: str,
    user_id: int | None = None,
    **parameters: Any,
) -> bool:
    """Posts an email that a visitor asked for, and returns whether emails are delayed.

    Raises TooOften; the caller must then roll back.
    """
    await rate_limits.count(
        db, settings, (kind, recipient, EMAILS_PER_ADDRESS), ("emails_network", client_ip, EMAILS_PER_CLIENT_IP)
    )
    return await kinds.post(db, settings, kind, recipient, user_id=user_id, **parameters)


def _from_network(identity: str, client: ClientInfo) -> Use:
    return "login", f"{identity} {client.client_ip}", TRIES_PER_NAME


def _in_known_browser(owner: int, client: ClientInfo) -> Use:
    return "login_known", f"{owner} {client.browser_mark}", TRIES_PER_NAME


async def _owner(db: AsyncSession, identity: str, mark: str) -> int | None:
    """Whose name or address this is, if they have logged in in this browser before."""
    has_it = col(User.email if "@" in identity else User.username_key) == identity
    query = select(KnownBrowser.user_id).join(User).where(has_it, KnownBrowser.secret_hash == mark)
    return (await db.exec(query)).first()
