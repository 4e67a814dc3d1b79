"""The site's mode: where a registration link leads."""

from enum import Enum

from webapp.accounts import tokens
from webapp.accounts.tokens import ASKED
from webapp.settings import Settings


class Way(Enum):
    """What a link leads to: the account at once, a request that waits for the admin, or nothing."""

    ACCOUNT = "account"
    REQUEST = "request"
    NONE = "none"


def way(settings: Settings, address: str, about: str) -> Way:
    """What a link leads to, decided each time: the mode may have changed since it was mailed.

    Somebody the admin invited always comes in. Somebody a member invited comes in while members may invite and there is
    a place left, which `invites.take` decides.
    """
    if tokens.invite_in(about):
        return Way.ACCOUNT if settings.member_invites and settings.registration != "closed" else Way.NONE
    if about != ASKED:
        return Way.ACCOUNT
    if settings.registration == "approval":
        return Way.REQUEST
    is_open = settings.registration == "open" or (
        settings.registration == "domains" and is_of_domain(settings, address)
    )
    return Way.ACCOUNT if is_open else Way.NONE


def takes_requests(settings: Settings) -> bool:
    """Whether people may ask for a registration email, though perhaps not with every address."""
    return settings.registration in {"open", "approval", "domains"}


def is_of_domain(settings: Settings, address: str) -> bool:
    """Whether an address is at one of the domains that may register. A subdomain is another domain."""
    return address.rpartition("@")[2] in settings.registration_domains
