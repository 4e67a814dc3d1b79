"""The emails of registration: the link that proves a mailbox, and every turn of a request that the admin decides."""

from collections.abc import Sequence
from datetime import timedelta

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import reserved_emails, users
from webapp.accounts.models import User
from webapp.accounts.tokens import ASKED, REGISTER_LIFETIME, by_invite, register_link
from webapp.asked_emails import asked_emails, email_codes
from webapp.authentication.emails import (
    A_SAMPLE_DAY,
    A_SAMPLE_ID,
    a_reserved_draft,
    a_sample_person,
    address_reserved_draft,
)
from webapp.mail.kinds import Draft, email_kind
from webapp.mail.models import Claimed, Priority
from webapp.registration import requests
from webapp.registration.models import RegistrationRequest
from webapp.settings import Settings

NAMED = 10
EXPIRES_AFTER = timedelta(days=5)


@email_kind(
    "register",
    expires_after=timedelta(minutes=60),
    priority=Priority.NEWCOMER,
    samples=lambda site: [
        _register_draft(site, "susan@example.com", A_SAMPLE_ID),
        _register_draft(site, "susan@example.com"),
        _already_registered_draft(site, a_sample_person()),
        a_reserved_draft(site, "susan@example.com", "susan", A_SAMPLE_DAY),
    ],
)
async def register(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To an address that asked for an account. If it has one, is waiting for one or is reserved, it says so instead."""
    address, asked_id = email.recipient, email.parameters.get("asked_id", "")
    if asked_emails.is_robot_id(settings, asked_id):
        return None
    if await users.has_account(db, address):
        user = await users.find(db, address)
        is_left_alone = user is None or user.disabled_at is not None or user.reset_pause
        return None if user is None or is_left_alone else _already_registered_draft(settings, user)
    hold = await reserved_emails.on(db, address)
    if hold:
        return await address_reserved_draft(db, settings, address, hold)
    invite: int = email.parameters.get("invite", 0)
    wants_approval = settings.registration == "approval" and not invite
    request = await requests.of(db, address) if wants_approval else None
    return _request_draft(request) if request else _register_draft(settings, address, asked_id, invite)


@email_kind(
    "registration_waiting",
    expires_after=EXPIRES_AFTER,
    counts_repeats=False,  # it tells of a state
    samples=lambda site: [_request_draft(_sample_requests()[0])],
)
async def registration_waiting(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To a person whose request is waiting. Not sent if it has been decided meanwhile."""
    request = await requests.of(db, email.recipient)
    return _request_draft(request) if request and not request.refused_at else None


@email_kind(
    "registration_approved",
    expires_after=EXPIRES_AFTER,
    priority=Priority.WAITED_FOR,
    samples=lambda site: [_approved_draft(site, a_sample_person())],
)
async def registration_approved(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To a person whose request was approved."""
    user = await users.get(db, email.user_id or 0)
    return _approved_draft(settings, user) if user and user.disabled_at is None else None


@email_kind(
    "registration_refused",
    expires_after=EXPIRES_AFTER,
    counts_repeats=False,  # it tells of a state
    samples=lambda site: [_request_draft(request) for request in _sample_requests()[1:]],
)
async def registration_refused(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To a person whose request was refused, with the admin's reason if there is one."""
    request = await requests.of(db, email.recipient)
    return _request_draft(request) if request and request.refused_at else None


@email_kind(
    "registrations_waiting",
    expires_after=EXPIRES_AFTER,
    counts_repeats=False,  # it names everybody who waits
    samples=lambda site: [_waiting_draft(site, "host@example.com", _sample_requests()[:1])],
)
async def registrations_waiting(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To an admin, if they still are one: who is waiting. Not sent if everybody has been answered meanwhile."""
    waiting = await requests.waiting(db) if email.recipient in settings.admin_addresses else []
    return _waiting_draft(settings, email.recipient, waiting) if waiting else None


def _register_draft(settings: Settings, address: str, asked_id: str = "", invite: int = 0) -> Draft:
    minutes, about = int(REGISTER_LIFETIME.total_seconds() // 60), by_invite(invite) or ASKED
    code = email_codes.mint(settings, asked_id, email_codes.to_register(address, about))
    values = {"link": register_link(settings, address, about), "code": code, "minutes": minutes}
    return Draft("register", address, values)


def _already_registered_draft(settings: Settings, user: User) -> Draft:
    links = {"login_link": f"{settings.base_url}/login", "reset_link": f"{settings.base_url}/reset_password_request"}
    return Draft("already_registered", user.email, {"username": user.username} | links, user.id, language=user.language)


def _request_draft(request: RegistrationRequest) -> Draft:
    """What has become of a request so far."""
    template, told = "registration_waiting", {"username": request.username}
    if request.refused_at:
        template, told = "registration_refused", {"reason": request.reason}
    values = {"expires_at": request.expires_at} | told
    return Draft(template, request.email, values, language=request.language or None)


def _approved_draft(settings: Settings, user: User) -> Draft:
    values = {"username": user.username, "link": f"{settings.base_url}/login"}
    return Draft("registration_approved", user.email, values, user.id)


def _waiting_draft(settings: Settings, address: str, waiting: Sequence[RegistrationRequest]) -> Draft:
    values = {
        "requests": waiting[:NAMED],
        "count": len(waiting),
        "others": max(0, len(waiting) - NAMED),
        "link": f"{settings.base_url}/admin/people",
    }
    return Draft("registrations_waiting", address, values)


def _sample_requests() -> list[RegistrationRequest]:
    """One that waits, one that was refused, and one without a reason."""
    waits, refused, without_reason = (
        RegistrationRequest(email="susan@example.com", why="", language="", expires_at=A_SAMPLE_DAY + requests.KEPT)
        for _number in range(3)
    )
    waits.username = "susan"
    refused.refused_at = without_reason.refused_at = A_SAMPLE_DAY
    refused.reason = "This site is for people from Bristol."
    return [waits, refused, without_reason]
