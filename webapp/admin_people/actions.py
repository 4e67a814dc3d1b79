"""What the admin can do about an account, on a page or by command. Each is logged, and told to the person."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import deletions, endings, users
from webapp.accounts.endings import Ended, Overtaken
from webapp.accounts.models import AccountDeletion, User
from webapp.audit import events
from webapp.audit.events import ClientInfo, Event
from webapp.database import now
from webapp.deletion import emails as deletion_emails
from webapp.factors import methods, removal
from webapp.i18n import gettext as _
from webapp.moderation import decisions
from webapp.settings import Settings


class NotNow(Exception):
    """The account isn't in a state for this; carries the words to show."""


async def disable(db: AsyncSession, settings: Settings, person: User, reason: str, by: ClientInfo) -> None:
    """Disables an account: it is hidden, and everything ends. Raises NotNow."""
    if person.disabled_at is not None and await deletions.of(db, person.id) is None:
        raise NotNow(_("%(name)s is disabled already.") % {"name": person.username})
    with _as_it_was_read(person):
        await decisions.disable(db, settings, person, reason, by)


async def enable(db: AsyncSession, settings: Settings, person: User, by: ClientInfo) -> None:
    """Enables an account again, even one that is being deleted. Raises NotNow."""
    if person.disabled_at is None:
        raise NotNow(_("%(name)s is not disabled.") % {"name": person.username})
    deletion = await deletions.of(db, person.id)
    if deletion and deletion.due_at <= now():
        raise NotNow(_("It's too late: everything %(name)s had here is being deleted.") % {"name": person.username})
    with _as_it_was_read(person):
        await endings.set_disabled(db, person, False, by)
    await users.tell(db, settings, person, "account_enabled")


async def end_sessions(db: AsyncSession, settings: Settings, person: User) -> Ended:
    """Ends everything, and tells the person what no longer works."""
    ended = await endings.log_out_everywhere(db, person.id)
    codes, passkeys = ended.codes, ended.passkeys
    await users.tell(
        db, settings, person, "sessions_ended", is_everywhere=True, how="operator", codes=codes, passkeys=passkeys
    )
    return ended


async def send_reset_link(db: AsyncSession, settings: Settings, person: User, by: ClientInfo) -> None:
    """Emails the link for a new password to the account's own address. Raises NotNow."""
    if person.disabled_at is not None:
        raise NotNow(_("%(name)s is disabled. Enable the account first.") % {"name": person.username})
    if not settings.sends_mail:
        raise NotNow(_("This site sends no email. `reset-link` on the command line prints a link."))
    await users.tell(db, settings, person, "reset_password", by_owner=True)
    await events.note(db, Event.RESET_LINK_SENT, person.id, by)


async def remove_factors(db: AsyncSession, settings: Settings, person: User, by: ClientInfo) -> int:
    """Removes all factors of somebody who has lost them and shown who they are; returns how many there were."""
    removed = await methods.remove(db, settings, person, by, how="operator")
    await removal.clear(db, person.id)
    return removed


async def delete(db: AsyncSession, settings: Settings, person: User, reason: str, by: ClientInfo) -> AccountDeletion:
    """Hides an account from everybody. It is deleted for good later; until then only the admin can undo that. Raises
    NotNow.
    """
    with _as_it_was_read(person):
        deletion = await decisions.delete(db, settings, person, reason, by)
    if settings.sends_mail:
        await deletion_emails.tell(db, settings, person)
    return deletion


@contextmanager
def _as_it_was_read(person: User) -> Iterator[None]:
    """Of several admins who decide about a person at once, one does; the others are told to look again."""
    try:
        yield
    except Overtaken:
        words = _("%(name)s's account has just changed. Look at it again, then decide.")
        raise NotNow(words % {"name": person.username}) from None
