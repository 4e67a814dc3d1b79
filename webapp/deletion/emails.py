"""The email about an account that is being deleted, with a button that undoes it, or with the admin's reason."""

from datetime import datetime, timedelta

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import deletions, reserved_emails, tokens, users
from webapp.accounts.models import AccountDeletion, User
from webapp.accounts.tokens import Purpose
from webapp.authentication.emails import A_SAMPLE_DAY, a_sample_person
from webapp.database import now
from webapp.mail import kinds
from webapp.mail.kinds import Draft, email_kind
from webapp.mail.models import Claimed, Priority
from webapp.settings import Settings

KIND = "account_deletion"


async def tell(db: AsyncSession, settings: Settings, user: User) -> None:
    """Writes to the person, and to each address that the account can go back to: a thief may own the newest."""
    earlier = {old_email for _id, old_email in await reserved_emails.undoable_changes(db, user.id)}
    for recipient in sorted({user.email, *earlier}):
        await kinds.post(db, settings, KIND, recipient, user_id=user.id, language=user.language)


@email_kind(
    KIND,
    expires_after=timedelta(days=5),
    priority=Priority.WAITED_FOR,
    is_security=True,
    samples=lambda site: [_draft(site, *_sample("")), _draft(site, *_sample("Advertising is not wanted here."))],
)
async def account_deletion(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To a person whose account is being deleted, by themselves or by the admin. Not sent once it is undone.

    Without an address of its own it goes to the account's, because somebody with the password tried to log in.
    """
    user, deletion = await users.get(db, email.owner_id), await deletions.of(db, email.owner_id)
    if user is None or deletion is None or deletion.due_at < now():
        return None
    recipient = email.recipient if "@" in email.recipient else user.email
    return _draft(settings, user, deletion, recipient)


def undo_link(settings: Settings, deletion: AccountDeletion) -> str:
    """The link to the button that brings the account back: for this deletion only, until the account is gone."""
    lifetime = max(timedelta(), deletion.due_at - now())
    return f"{settings.base_url}/undo_deletion/{tokens.issue(settings, Purpose.UNDO_DELETION, deletion.id, lifetime)}"


def _draft(settings: Settings, user: User, deletion: AccountDeletion, recipient: str) -> Draft:
    values = {"username": user.username, "due_at": deletion.due_at}
    if deletion.reason:
        template, values = "account_deleted_by_admin", values | {"reason": deletion.reason}
    else:
        template, values = KIND, values | {"undo_link": undo_link(settings, deletion)}
    return Draft(template, recipient, values, user.id)


def _sample(reason: str) -> tuple[User, AccountDeletion, str]:
    due_at: datetime = A_SAMPLE_DAY + timedelta(days=14)
    user = a_sample_person()
    return user, AccountDeletion(id=0, user_id=0, due_at=due_at, reason=reason), user.email
