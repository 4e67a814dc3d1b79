"""What accounts write to people. Each letter is looked up, minted and written at the moment it is sent."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import limits
from webapp.accounts import tokens, users
from webapp.accounts.models import User
from webapp.accounts.tokens import Purpose
from webapp.database import now
from webapp.direct import Transaction
from webapp.limits import Rate, TooOften
from webapp.mail import status, writing
from webapp.mail.models import Claimed
from webapp.mail.writing import Draft, letter
from webapp.security import browsers, reservations
from webapp.security.reservations import Reservation
from webapp.settings import NOT_ME_HOURS, Settings
from webapp.subscriptions import choices

# For each typed name or address, whether somebody has it or not, and for each network.
PER_ADDRESS = (Rate(1, 60), Rate(3, 3600), Rate(10, 86400))
PER_NETWORK = (Rate(20, 3600),)
A_SAMPLE_DAY = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
A_SAMPLE_SIGN_IN = {
    "username": "susan",
    "when": A_SAMPLE_DAY.isoformat(),
    "browser": "Mozilla/5.0 (Android 15; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0",
    "network": "192.0.2.7",
}
REGISTER_LIFETIME = timedelta(hours=24)
NOT_ME_LIFETIME = timedelta(hours=NOT_ME_HOURS)
UNSUBSCRIBE_LIFETIME = timedelta(days=365)
# However somebody spells a person's name and address, so many reset letters an hour reach them.
MOST_RESET_LETTERS = 3
MOST_NEW_SIGN_INS = 10  # an hour, if a program logs in again and again


async def ask_for(
    db: Transaction,
    settings: Settings,
    kind: str,
    recipient: str,
    *,
    network: str,
    user_id: int | None = None,
    **parameters: Any,
) -> bool:
    """Posts a letter that a visitor asked for, and returns whether letters are delayed.

    Raises TooOften; the caller must then roll back.
    """
    await limits.count(db, settings, (kind, recipient, PER_ADDRESS), ("letters_network", network, PER_NETWORK))
    return await writing.post(db, settings, kind, recipient, user_id=user_id, **parameters)


@letter(
    "reset_password", lives=timedelta(minutes=60), samples=lambda site: [_reset_password_draft(site, a_sample_person())]
)
async def reset_password(db: AsyncSession, settings: Settings, letter: Claimed) -> Draft | None:
    """To the person whose name or address was typed, or whose link had run out; to nobody if there is none.

    With the parameter `by_owner` it was asked for behind a "this wasn't me" link, so neither the pause that such a
    link makes nor the letters that strangers asked for keep it back.
    """
    user = await (users.get(db, letter.user_id) if letter.user_id else users.find(db, letter.recipient))
    if user is None or user.disabled_at is not None:
        return None
    if not letter.parameters.get("by_owner") and (_is_paused(user) or await _gets_many(db, settings, user, letter)):
        return None
    return _reset_password_draft(settings, user)


@letter(
    "register",
    lives=timedelta(minutes=60),
    samples=lambda site: [
        _register_draft(site, "susan@example.com"),
        _already_registered_draft(site, a_sample_person()),
        _address_reserved_draft(site, "susan@example.com", "susan", A_SAMPLE_DAY),
    ],
)
async def register(db: AsyncSession, settings: Settings, letter: Claimed) -> Draft | None:
    """To an address that asked for an account; if it has one, or is kept for one, the letter says so instead."""
    address = letter.recipient
    if not await users.has_account(db, address):
        hold = await reservations.on(db, address)
        return await address_reserved_draft(db, settings, address, hold) if hold else _register_draft(settings, address)
    user = await users.find(db, address)
    return None if user is None or user.disabled_at is not None else _already_registered_draft(settings, user)


@letter(
    "password_changed",
    lives=timedelta(days=5),
    samples=lambda site: [_password_changed_draft(site, 0, "susan@example.com", "susan", A_SAMPLE_DAY)],
)
async def password_changed(db: AsyncSession, settings: Settings, letter: Claimed) -> Draft | None:
    """To a person whose password has just been changed, whoever did it."""
    username, when = letter.parameters["username"], datetime.fromisoformat(letter.parameters["when"])
    assert letter.user_id is not None
    return _password_changed_draft(settings, letter.user_id, letter.recipient, username, when)


@letter(
    "new_sign_in",
    lives=timedelta(days=5),
    samples=lambda site: [_new_sign_in_draft(site, 0, "susan@example.com", A_SAMPLE_SIGN_IN)],
    switch="A letter when my account is used in a new browser",
)
async def new_sign_in(db: AsyncSession, settings: Settings, letter: Claimed) -> Draft | None:
    """To a person who has logged in in a browser that was not seen before, if they want to know."""
    user = await reader(db, letter)
    if user is None or await _has_enough(db, user, letter, MOST_NEW_SIGN_INS):
        return None
    assert user.id is not None
    return _new_sign_in_draft(settings, user.id, letter.recipient, letter.parameters)


async def reader(db: AsyncSession, letter: Claimed) -> User | None:
    """Whom an optional letter is for; None if they are gone or disabled, or want no such letters."""
    assert letter.user_id is not None
    user = await users.get(db, letter.user_id)
    if user is None or user.disabled_at is not None or not await choices.wants(db, letter.user_id, letter.kind):
        return None
    return user


def reset_link(settings: Settings, user: User) -> str:
    """The link to the form that sets a new password, valid from now for RESET_TOKEN_MINUTES."""
    assert user.id is not None
    lifetime = timedelta(minutes=settings.reset_token_minutes)
    token = tokens.issue(settings, Purpose.RESET_PASSWORD, user.id, lifetime, user.epoch)
    return f"{settings.base_url}/reset_password/{token}"


def not_me_link(settings: Settings, user_id: int, kind: str) -> str:
    """The link that stands in every security letter. No later change of the account kills it: it gives power back."""
    return f"{settings.base_url}/not_me/{tokens.issue(settings, Purpose.NOT_ME, user_id, NOT_ME_LIFETIME, about=kind)}"


def unsubscribe_link(settings: Settings, user_id: int, kind: str) -> str:
    """The link that turns off an optional kind of letter (RFC 8058)."""
    token = tokens.issue(settings, Purpose.UNSUBSCRIBE, user_id, UNSUBSCRIBE_LIFETIME, about=kind)
    return f"{settings.base_url}/unsubscribe/{token}"


async def address_reserved_draft(db: AsyncSession, settings: Settings, address: str, hold: Reservation) -> Draft:
    """To an address that an account has given up, but can still go back to."""
    user = await users.get(db, hold.user_id)
    assert user is not None
    return _address_reserved_draft(settings, address, user.username, hold.until)


def register_link(settings: Settings, address: str) -> str:
    """The link that proves a mailbox and leads to the form for a name and a password."""
    return f"{settings.base_url}/register/{tokens.issue(settings, Purpose.REGISTER, address, REGISTER_LIFETIME)}"


def _is_paused(user: User) -> bool:
    return user.reset_paused_until is not None and user.reset_paused_until > now()


async def _gets_many(db: AsyncSession, settings: Settings, user: User, letter: Claimed) -> bool:
    """Counts a letter to a typed name or address when it is written first: only then is it known who gets it.

    By rows of the outbox it could not be told: other processes may be writing to the same person at this moment.
    """
    if letter.user_id is not None:
        return False
    try:
        await limits.count(db, settings, (f"{letter.kind}_to", str(user.id), (Rate(MOST_RESET_LETTERS, 3600),)))
    except TooOften:
        return True
    return False


async def _has_enough(db: AsyncSession, user: User, letter: Claimed, most: int) -> bool:
    assert user.id is not None
    an_hour_before = letter.created - timedelta(hours=1)
    return await status.sent_to(db, user.id, letter.kind, an_hour_before, before=letter) >= most


def _reset_password_draft(settings: Settings, user: User) -> Draft:
    assert user.id is not None
    values = {"username": user.username, "link": reset_link(settings, user), "minutes": settings.reset_token_minutes}
    values["not_me_link"] = not_me_link(settings, user.id, "reset_password")
    return Draft("reset_password", user.email, values, user.id)


def _register_draft(settings: Settings, address: str) -> Draft:
    minutes = int(REGISTER_LIFETIME.total_seconds() // 60)
    return Draft("register", address, {"link": register_link(settings, address), "minutes": minutes})


def _already_registered_draft(settings: Settings, user: User) -> Draft:
    links = {"login_link": f"{settings.base_url}/login", "reset_link": f"{settings.base_url}/reset_password_request"}
    return Draft("already_registered", user.email, {"username": user.username} | links, user.id)


def _address_reserved_draft(settings: Settings, address: str, username: str, until: datetime) -> Draft:
    values = {"username": username, "until": until, "login_link": f"{settings.base_url}/login"}
    return Draft("address_reserved", address, values)


def _password_changed_draft(settings: Settings, user_id: int, address: str, username: str, when: datetime) -> Draft:
    link = not_me_link(settings, user_id, "password_changed")
    return Draft("password_changed", address, {"username": username, "when": when, "not_me_link": link})


def _new_sign_in_draft(settings: Settings, user_id: int, address: str, details: dict[str, Any]) -> Draft:
    unsubscribe = unsubscribe_link(settings, user_id, "new_sign_in")
    values = details | {
        "when": datetime.fromisoformat(details["when"]),
        "browser": browsers.described(details["browser"]),
        "sessions_link": f"{settings.base_url}/sessions",
        "not_me_link": not_me_link(settings, user_id, "new_sign_in"),
        "unsubscribe_link": unsubscribe,
    }
    return Draft("new_sign_in", address, values, user_id, unsubscribe=unsubscribe)


def a_sample_person() -> User:
    """A person for sample letters."""
    return User(id=0, username="susan", username_key="susan", email="susan@example.com", password_hash="")
