"""The email that says an export is there."""

from datetime import timedelta

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import users
from webapp.accounts.models import User
from webapp.archives import exports
from webapp.archives.models import READY
from webapp.authentication.emails import a_sample_person
from webapp.mail.kinds import Draft, email_kind
from webapp.mail.models import Claimed, Priority
from webapp.settings import Settings


@email_kind(
    "export_ready",
    expires_after=timedelta(hours=12),
    priority=Priority.WAITED_FOR,
    is_security=True,  # a thief may have asked for it
    samples=lambda site: [_draft(site, a_sample_person())],
)
async def export_ready(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To a person whose export is ready. Not sent if it has already been deleted."""
    user, export = await users.get_active(db, email.owner_id), await exports.latest(db, email.owner_id)
    if user is None or export is None or export.state != READY:
        return None
    return _draft(settings, user)


def _draft(settings: Settings, user: User) -> Draft:
    hours = int(exports.KEPT.total_seconds() // 3600)
    values = {"username": user.username, "link": f"{settings.base_url}/export", "hours": hours}
    return Draft("export_ready", user.email, values, user.id)
