"""The emails about second factors: one was added or removed, or somebody asks to have them removed."""

from datetime import datetime, timedelta
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import known_browsers, tokens, users
from webapp.accounts.models import User
from webapp.accounts.tokens import APP_LIFETIME, Purpose
from webapp.asked_emails import email_codes
from webapp.authentication.emails import (
    A_SAMPLE_DAY,
    A_SAMPLE_ID,
    A_SAMPLE_SIGN_IN,
    SUSAN,
    a_sample_person,
    notice,
    notice_kind,
    told,
)
from webapp.factors import methods, second_step
from webapp.mail import status
from webapp.mail.kinds import Draft, email_kind
from webapp.mail.models import Claimed, Priority
from webapp.settings import Settings

A_SAMPLE: dict[str, Any] = {"username": "susan", "when": A_SAMPLE_DAY}
REMOVED = [
    A_SAMPLE | {"factor": factor, "how": how}
    for factor, how in (("app", ""), ("all", "waited"), ("all", "not_me"), ("all", "operator"))
]
A_DAY = timedelta(days=1)


@email_kind(
    "app_link",
    expires_after=timedelta(minutes=60),
    priority=Priority.WAITED_FOR,
    is_security=True,
    samples=lambda site: [
        _app_link_draft(site, a_sample_person(), A_SAMPLE_ID),
        _app_link_draft(site, a_sample_person()),
    ],
)
async def app_link(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To a person who is setting up an authenticator app: a thief of the password could keep them out with one."""
    user = await users.get_active(db, email.owner_id)
    if user is None or email.is_overtaken(user.epoch) or await methods.has_second_step(db, user.id):
        return None
    return _app_link_draft(settings, user, email.parameters.get("asked_id", ""))


@notice_kind("factor_added", A_SAMPLE, counts_repeats=False)
@notice_kind("factor_removed", *REMOVED, usual={"factor": "all", "how": ""}, counts_repeats=False)
@notice_kind("factor_removal_stopped", A_SAMPLE, counts_repeats=False)
def factor_changed(settings: Settings, details: dict[str, Any]) -> dict[str, Any]:
    """To a person whose account has a new authenticator app or has lost one, whoever did it; or whose factors stay,
    because they logged in or stopped the removal.
    """
    return details | {
        "methods_link": f"{settings.base_url}/sign-in_methods",
        "reset_link": f"{settings.base_url}/reset_password_request",
    }


@email_kind(
    "second_step_unfinished",
    expires_after=timedelta(days=5),
    counts_repeats=False,
    samples=lambda site: [_unfinished_draft(site, 0, SUSAN, A_SAMPLE_SIGN_IN)],
)
async def second_step_unfinished(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To a person whose password was used by somebody who then didn't pass the second step. One an hour is enough."""
    user = await users.get_active(db, email.owner_id)
    if user is None or await second_step.is_finished(db, email.parameters.get("pending", 0)):
        return None
    if await status.sent_to(db, user.id, email.kind, email.created_at - timedelta(hours=1), before=email):
        return None
    return _unfinished_draft(settings, user.id, email.recipient, await told(db, email, browser="", client_ip=""))


@email_kind(
    "factor_removal_link",
    expires_after=timedelta(minutes=60),
    priority=Priority.WAITED_FOR,
    samples=lambda site: [_removal_link_draft(site, a_sample_person())],
)
async def factor_removal_link(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To a person who has lost their second factor: the link that begins the wait."""
    user = await users.get_active(db, email.owner_id)
    if user is None or email.is_overtaken(user.epoch) or not await methods.has_second_step(db, user.id):
        return None
    return _removal_link_draft(settings, user)


@email_kind(
    "factor_removal_waiting",
    expires_after=A_DAY,
    counts_repeats=False,
    samples=lambda site: [_waiting_draft(site, a_sample_person(), A_SAMPLE_DAY)],
)
async def factor_removal_waiting(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To a person whose factors are about to be removed: once when somebody asks for it, and then once a day."""
    user = await users.get(db, email.owner_id)
    if user is None or user.factor_removal_due_at is None:
        return None
    return _waiting_draft(settings, user, user.factor_removal_due_at)


def _unfinished_draft(settings: Settings, user_id: int, address: str, details: dict[str, Any]) -> Draft:
    values = factor_changed(settings, details) | {"browser": known_browsers.described(details["browser"])}
    return notice(settings, "second_step_unfinished", user_id, address, values)


def _app_link_draft(settings: Settings, user: User, asked_id: str = "") -> Draft:
    values = {
        "username": user.username,
        "link": tokens.app_link(settings, user.id, user.epoch),
        "code": email_codes.mint(settings, asked_id, email_codes.to_app(user.id, user.epoch)),
        "minutes": int(APP_LIFETIME.total_seconds() // 60),
    }
    return notice(settings, "app_link", user.id, user.email, values)


def _removal_link_draft(settings: Settings, user: User) -> Draft:
    lifetime = timedelta(minutes=settings.reset_token_minutes)
    token = tokens.issue(settings, Purpose.FACTOR_REMOVAL, user.id, lifetime, user.epoch)
    values = {
        "username": user.username,
        "link": f"{settings.base_url}/factor_removal/{token}",
        "minutes": settings.reset_token_minutes,
        "days": settings.factor_removal_days,
    }
    return notice(settings, "factor_removal_link", user.id, user.email, values)


def _waiting_draft(settings: Settings, user: User, due: datetime) -> Draft:
    """With the link that stops it, which works as long as there is anything to stop."""
    lifetime = timedelta(days=settings.factor_removal_days + 1)
    token = tokens.issue(settings, Purpose.KEEP_FACTORS, user.id, lifetime, user.epoch)
    values = {"username": user.username, "due": due, "link": f"{settings.base_url}/keep_factors/{token}"}
    return notice(settings, "factor_removal_waiting", user.id, user.email, values)
