"""The emails about a change of address, to the new one and to the old one."""

from dataclasses import replace
from datetime import timedelta

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import reserved_emails, tokens, users
from webapp.accounts.tokens import CONFIRM_LIFETIME, Purpose, not_me_link
from webapp.addresses import changes
from webapp.addresses.changes import Change
from webapp.asked_emails import email_codes
from webapp.authentication.emails import A_SAMPLE_DAY, A_SAMPLE_ID, address_reserved_draft
from webapp.database import now
from webapp.logs import mask
from webapp.mail.kinds import Draft, email_kind
from webapp.mail.models import Claimed, Priority
from webapp.settings import Settings

UNDO_LIFETIME = timedelta(hours=72)


@email_kind(
    "confirm_email",
    expires_after=CONFIRM_LIFETIME,
    priority=Priority.WAITED_FOR,
    samples=lambda site: [_confirm_draft(site, _sample(), A_SAMPLE_ID), _taken_draft(site, _sample(), "david")],
)
async def confirm_email(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To the address that an account is about to have. If it can't have it, the email says why, because the page must
    not.

    It is sent even if the account is disabled, since the person who asked can see in their emails whether it was.
    """
    change = await changes.get(db, email.parameters["change"])
    if change is None or not change.is_open:
        return None
    if owner := await users.find(db, change.new_email):
        return _taken_draft(settings, change, owner.username, owner.language)
    if hold := await reserved_emails.on(db, change.new_email, but=change.user_id):
        return await address_reserved_draft(db, settings, change.new_email, hold)
    return _confirm_draft(settings, change, email.parameters.get("asked_id", ""))


@email_kind(
    "address_change_asked", expires_after=timedelta(days=5), samples=lambda site: [_asked_draft(site, _sample())]
)
async def address_change_asked(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To the current address, when a new one was asked for."""
    change = await changes.get(db, email.parameters["change"])
    return _asked_draft(settings, change) if change else None


@email_kind(
    "address_changed",
    expires_after=timedelta(days=5),
    samples=lambda site: [_changed_draft(site, _sample(), UNDO_LIFETIME, codes=10, passkeys=2)],
)
async def address_changed(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To the old address, with the link that gives the account back."""
    change = await changes.get(db, email.parameters["change"])
    if change is None or change.confirmed_at is None:
        return None
    left = reserved_emails.ends(change.confirmed_at) - now()
    lost = {name: email.parameters.get(name, 0) for name in ("codes", "passkeys")}
    return _changed_draft(settings, change, min(UNDO_LIFETIME, left) if change.is_undoable else None, **lost)


@email_kind(
    "address_restored",
    expires_after=timedelta(days=5),
    samples=lambda site: [_restored_draft(site, _undone_sample()), _removed_draft(_undone_sample(), "hal@example.net")],
)
async def address_restored(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To the address that has its account back, and to the one that had it meanwhile."""
    change = await changes.get(db, email.parameters["change"])
    if change is None or change.undone_at is None:
        return None
    is_removed = email.recipient != change.old_email
    return _removed_draft(change, email.recipient) if is_removed else _restored_draft(settings, change)


def confirm_link(settings: Settings, change: Change) -> str:
    """The link to the button that gives the account the address to which this is mailed."""
    token = tokens.issue(settings, Purpose.CONFIRM_EMAIL, change.id, CONFIRM_LIFETIME, change.epoch)
    return f"{settings.base_url}/confirm_email/{token}"


def undo_link(settings: Settings, change: Change, lifetime: timedelta) -> str:
    """The link to the button that brings the old address back.

    No change of the account disables it, since it gives control back.
    """
    return f"{settings.base_url}/undo_email/{tokens.issue(settings, Purpose.UNDO_EMAIL, change.id, lifetime)}"


def _confirm_draft(settings: Settings, change: Change, asked_id: str) -> Draft:
    hours = int(CONFIRM_LIFETIME.total_seconds() // 3600)
    code = email_codes.mint(settings, asked_id, email_codes.to_confirm(change.id, change.epoch))
    values = {"username": change.username, "link": confirm_link(settings, change), "code": code, "hours": hours}
    return Draft("confirm_email", change.new_email, values)


def _taken_draft(settings: Settings, change: Change, owner: str, language: str | None = None) -> Draft:
    values = {"username": owner, "asking": change.username, "login_link": f"{settings.base_url}/login"}
    return Draft("address_taken", change.new_email, values, language=language)


def _asked_draft(settings: Settings, change: Change) -> Draft:
    link = not_me_link(settings, change.user_id, "address_change_asked", change.old_email)
    values = {"username": change.username, "new": _masked(change.new_email), "when": change.created_at}
    return Draft("address_change_asked", change.old_email, values | {"not_me_link": link})


def _changed_draft(settings: Settings, change: Change, lifetime: timedelta | None, **lost: int) -> Draft:
    """Without a lifetime there is no link: there is nothing left to undo. `lost` is what has stopped working."""
    values = {
        **lost,
        "username": change.username,
        "new": _masked(change.new_email),
        "when": change.confirmed_at,
        "undo_link": undo_link(settings, change, lifetime) if lifetime else None,
        "hours": int(UNDO_LIFETIME.total_seconds() // 3600),
    }
    return Draft("address_changed", change.old_email, values)


def _restored_draft(settings: Settings, change: Change) -> Draft:
    values = {
        "username": change.username,
        "when": change.undone_at,
        "reset_link": f"{settings.base_url}/reset_password_request",
        "not_me_link": not_me_link(settings, change.user_id, "address_restored", change.old_email),
    }
    return Draft("address_restored", change.old_email, values)


def _removed_draft(change: Change, recipient: str) -> Draft:
    """Without any link, since the reader may be the thief of the account."""
    values = {"username": change.username, "old": _masked(change.old_email), "when": change.undone_at}
    return Draft("address_removed", recipient, values)


def _masked(address: str) -> str:
    """Masked with plain dots, since an email of pure ASCII can be sent as it is."""
    return mask(address).replace("…", "...")


def _sample() -> Change:
    """A change for sample emails."""
    return Change(
        id=0,
        user_id=0,
        epoch=0,
        old_email="susan@example.com",
        new_email="susan@example.net",
        created_at=A_SAMPLE_DAY,
        confirmed_at=A_SAMPLE_DAY,
        undone_at=None,
        username="susan",
        account_email="susan@example.net",
        account_epoch=1,
        is_disabled=False,
    )


def _undone_sample() -> Change:
    return replace(_sample(), undone_at=A_SAMPLE_DAY)
