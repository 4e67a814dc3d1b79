"""The email that says an account is open again."""

from datetime import timedelta

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import users
from webapp.accounts.models import User
from webapp.authentication.emails import a_sample_person
from webapp.mail.kinds import Draft, email_kind
from webapp.mail.models import Claimed
from webapp.settings import Settings


@email_kind(
    "account_enabled",
    expires_after=timedelta(days=5),
    counts_repeats=False,  # it tells of a state
    samples=lambda site: [_draft(site, a_sample_person())],
)
async def account_enabled(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To a person whose account the admin has enabled. Not sent if it was disabled again."""
    user = await users.get_active(db, email.owner_id)
    return _draft(settings, user) if user else None


def _draft(settings: Settings, user: User) -> Draft:
    values = {"username": user.username, "link": f"{settings.base_url}/login"}
    return Draft("account_enabled", user.email, values, user.id)
