"""The test email of the check-up."""

from datetime import timedelta

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import users
from webapp.accounts.models import User
from webapp.accounts.tokens import Purpose, issue
from webapp.authentication.emails import a_sample_person
from webapp.mail.kinds import Draft, email_kind
from webapp.mail.models import Claimed, Priority
from webapp.settings import Settings

LIFETIME = timedelta(hours=24)


@email_kind(
    "checkup",
    expires_after=timedelta(minutes=60),
    priority=Priority.WAITED_FOR,
    samples=lambda site: [_draft(site, a_sample_person())],
)
async def checkup(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To a person who wants to know whether our emails arrive."""
    user = await users.get_active(db, email.owner_id)
    return _draft(settings, user) if user else None


def _draft(settings: Settings, user: User) -> Draft:
    token = issue(settings, Purpose.CHECKUP, user.id, LIFETIME, user.epoch)
    hours = int(LIFETIME.total_seconds() // 3600)
    values = {"username": user.username, "link": f"{settings.base_url}/checkup_email/{token}", "hours": hours}
    return Draft("checkup", user.email, values, user.id)
