"""The emails of accounts. Each is looked up, signed and written at the moment it is sent."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import known_browsers, users
from webapp.accounts.models import User
from webapp.accounts.reserved_emails import Reservation
from webapp.accounts.tokens import not_me_link
from webapp.i18n import N_
from webapp.mail import status
from webapp.mail.kinds import Draft, email_kind
from webapp.mail.models import Claimed
from webapp.settings import Settings

SUSAN = "susan@example.com"
A_SAMPLE_DAY = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
A_SAMPLE_ID = "a sample"
A_SAMPLE_SIGN_IN = {
    "username": "susan",
    "when": A_SAMPLE_DAY,
    "browser": "Mozilla/5.0 (Android 15; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0",
    "client_ip": "192.0.2.7",
}
A_SAMPLE_CHANGE = {"username": "susan", "when": A_SAMPLE_DAY, "codes": 10, "passkeys": 2}
MOST_NEW_SIGN_INS = 10  # an hour, in case a program logs in again and again

Values = Callable[[Settings, dict[str, Any]], dict[str, Any]]


def notice_kind(
    name: str,
    *samples: dict[str, Any],
    usual: dict[str, Any] | None = None,
    counts_repeats: bool = True,
    keeps: tuple[str, ...] = (),
) -> Callable[[Values], Values]:
    """Registers a kind of email (see `email_kind`) that tells somebody what happened to their account, whoever did it.

    The function makes the template's values of what the email was posted to say, such as each of the `samples`. `usual`
    fills in what an older version of the site didn't store.
    """

    def register(values: Values) -> Values:
        async def write(db: AsyncSession, settings: Settings, email: Claimed) -> Draft:
            details = await told(db, email, **(usual or {}))
            return notice(settings, name, email.owner_id, email.recipient, values(settings, details))

        email_kind(
            name,
            expires_after=timedelta(days=5),
            counts_repeats=counts_repeats,
            keeps=keeps,
            samples=lambda site: [notice(site, name, 0, SUSAN, values(site, sample)) for sample in samples],
        )(write)
        return values

    return register


@notice_kind("password_changed", A_SAMPLE_CHANGE, usual={"codes": 0, "passkeys": 0}, keeps=("codes", "passkeys"))
def password_changed(_settings: Settings, details: dict[str, Any]) -> dict[str, Any]:
    """To a person whose password has just been changed."""
    return details


@email_kind(
    "new_sign_in",
    expires_after=timedelta(days=5),
    samples=lambda site: [_new_sign_in_draft(site, 0, SUSAN, A_SAMPLE_SIGN_IN)],
    label=N_("Log-ins from a new device"),
    is_security=True,
)
async def new_sign_in(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To a person who has logged in with a new browser, if they had this email switched on at that moment.

    A thief who logs in and turns these emails off must not silence the one about that log-in. Turning them off takes
    the password, so no link in the email does it.
    """
    user = await users.get_active(db, email.owner_id)
    if user is None or await _has_enough(db, user, email, MOST_NEW_SIGN_INS):
        return None
    details = await told(db, email, browser="", client_ip="")
    return _new_sign_in_draft(settings, user.id, email.recipient, details)


async def address_reserved_draft(db: AsyncSession, settings: Settings, address: str, hold: Reservation) -> Draft:
    """To an address that an account has moved away from, but can still go back to."""
    user = await users.owner(db, hold.user_id)
    return a_reserved_draft(settings, address, user.username, hold.until, user.language)


async def told(db: AsyncSession, email: Claimed, **usual: Any) -> dict[str, Any]:
    """What the email was posted to say; `usual` fills in what an older version of the site didn't store."""
    values = {"when": email.created_at.isoformat(), **usual, **email.parameters}
    if "username" not in values:
        user = await users.get(db, email.user_id or 0)
        values["username"] = user.username if user else ""
    return values | {"when": datetime.fromisoformat(values["when"])}


async def _has_enough(db: AsyncSession, user: User, email: Claimed, most: int) -> bool:
    an_hour_before = email.created_at - timedelta(hours=1)
    return await status.sent_to(db, user.id, email.kind, an_hour_before, before=email) >= most


def a_reserved_draft(
    settings: Settings, address: str, username: str, until: datetime, language: str | None = None
) -> Draft:
    values = {"username": username, "until": until, "login_link": f"{settings.base_url}/login"}
    return Draft("address_reserved", address, values, language=language)


def notice(settings: Settings, kind: str, user_id: int, address: str, values: dict[str, Any]) -> Draft:
    """An email about something that happened to an account, with the link "this wasn't me"."""
    return Draft(kind, address, values | {"not_me_link": not_me_link(settings, user_id, kind, address)}, user_id)


def _new_sign_in_draft(settings: Settings, user_id: int, address: str, details: dict[str, Any]) -> Draft:
    values = details | {
        "browser": known_browsers.described(details["browser"]),
        "sessions_link": f"{settings.base_url}/sessions",
        "emails_link": f"{settings.base_url}/letters",
    }
    return notice(settings, "new_sign_in", user_id, address, values)


def a_sample_person() -> User:
    """A person for sample emails."""
    return User(id=0, username="susan", username_key="susan", email=SUSAN, password_hash="")
