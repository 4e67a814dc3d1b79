"""The emails of recovery: the reset link, and notices about recovery codes."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import rate_limits
from webapp.accounts import deletions, users
from webapp.accounts.models import User
from webapp.accounts.tokens import not_me_link, reset_link
from webapp.asked_emails import email_codes
from webapp.authentication.emails import A_SAMPLE_DAY, A_SAMPLE_ID, SUSAN, a_sample_person, notice, notice_kind, told
from webapp.factors import codes, methods
from webapp.mail.kinds import KINDS, Draft, email_kind
from webapp.mail.models import Claimed, Priority
from webapp.names import usernames
from webapp.rate_limits import TooOften
from webapp.settings import Settings

A_SAMPLE = {"username": "susan", "when": A_SAMPLE_DAY, "left": 9, "instead_of": "", "stay": False}


@email_kind(
    "reset_password",
    expires_after=timedelta(minutes=60),
    priority=Priority.WAITED_FOR,
    samples=lambda site: [
        _reset_password_draft(site, a_sample_person(), A_SAMPLE_ID),
        _reset_password_draft(site, a_sample_person()),
    ],
)
async def reset_password(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To the person whose username or email was typed, or whose link had expired. Not sent if there is nobody. Where
    they are having the account deleted, it has the link that brings it back instead.

    With the parameter `by_owner` it was asked for behind a "this wasn't me" link, so it is held back neither by the
    pause that such a link starts nor by the emails that strangers asked for. Those don't hold back either what was
    asked for `in_known_browser`.
    """
    user = await (users.get(db, email.user_id) if email.user_id else _typed(db, email.recipient))
    if user is None or email.is_overtaken(user.epoch):
        return None
    if not email.parameters.get("by_owner") and (user.reset_pause or await _is_over_limit(db, settings, user, email)):
        return None
    if user.disabled_at is not None:
        return await _of_deletion(db, settings, user, email)
    return _reset_password_draft(settings, user, email.parameters.get("asked_id", ""))


@notice_kind("recovery_codes_made", A_SAMPLE)
def recovery_codes_made(_settings: Settings, details: dict[str, Any]) -> dict[str, Any]:
    """To a person whose account has new recovery codes."""
    return details


@email_kind(
    "recovery_code_used",
    expires_after=timedelta(days=5),
    samples=lambda site: [
        notice(site, "recovery_code_used", 0, SUSAN, details)
        for details in (A_SAMPLE, A_SAMPLE | {"stay": True}, A_SAMPLE | {"stay": True, "instead_of": "factor"})
    ],
)
async def recovery_code_used(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To a person whose recovery code was used, whoever used it. With a second step, the others `stay`: see `reset`."""
    has_second = await methods.has_second_step(db, email.owner_id)
    details = await told(db, email, left=await codes.left(db, email.owner_id), instead_of="")
    return notice(settings, email.kind, email.owner_id, email.recipient, details | {"stay": has_second})


async def _of_deletion(db: AsyncSession, settings: Settings, user: User, email: Claimed) -> Draft | None:
    """The email about a deletion once more, if its owner can still undo it."""
    deletion = await deletions.of(db, user.id)
    if deletion is None or not deletions.is_undoable(deletion):
        return None
    to_owner = replace(email, user_id=user.id, recipient=user.email)
    return await KINDS["account_deletion"].write(db, settings, to_owner)


async def _typed(db: AsyncSession, identity: str) -> User | None:
    """The person whose username or address was typed. A username that is no longer used still leads to its last
    owner.
    """
    if user := await users.find(db, identity):
        return user
    former = await usernames.former_owner(db, identity)
    return await users.get(db, former) if former else None


async def _is_over_limit(db: AsyncSession, settings: Settings, user: User, email: Claimed) -> bool:
    """Counts an email to a typed name or address when it is first written, since only then is it known who gets it.

    The outbox's rows couldn't tell: other processes may be writing to the same person at this moment.
    """
    if email.user_id is not None or email.parameters.get("in_known_browser"):
        return False
    try:
        await rate_limits.count(db, settings, (rate_limits.RESET_EMAILS, str(user.id)))
    except TooOften:
        return True
    return False


def _reset_password_draft(settings: Settings, user: User, asked_id: str = "") -> Draft:
    values = {"username": user.username, "link": reset_link(settings, user), "minutes": settings.reset_token_minutes}
    values["code"] = email_codes.mint(settings, asked_id, email_codes.to_reset(settings, user.id, user.epoch))
    values["not_me_link"] = not_me_link(settings, user.id, "reset_password", user.email)
    return Draft("reset_password", user.email, values, user.id, language=user.language)
