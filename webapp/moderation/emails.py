"""The emails that tell the admin about reports, and people and the other admins about an admin's decisions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import rate_limits
from webapp.accounts import users
from webapp.accounts.models import User
from webapp.audit import events
from webapp.audit.events import Event
from webapp.audit.models import SecurityEvent
from webapp.authentication.emails import A_SAMPLE_DAY, a_sample_person
from webapp.mail import kinds
from webapp.mail.kinds import Draft, email_kind
from webapp.mail.models import Claimed
from webapp.moderation import reports
from webapp.moderation.reports import Case
from webapp.posts.models import Post
from webapp.rate_limits import Limit, Rate
from webapp.settings import Settings
from webapp.web.words import without_links

# The email lists what is waiting when it leaves, so one covers all reports of this time.
GATHERED = timedelta(minutes=5)
_ONCE = (Rate(1, int(GATHERED.total_seconds())),)
GATHERING = Limit("post_reported", _ONCE)
# What an admin does to an account that its owner alone can't put right, and so another admin should hear of.
ACTS = (Event.DISABLED, Event.DELETION_ASKED, Event.FACTOR_REMOVED)
GATHERING_ACTS = Limit("admin_acted", _ONCE)
LEEWAY = timedelta(seconds=5)  # for transactions that end late
NAMED = 10
QUOTED = 120
EXPIRES_AFTER = timedelta(days=5)


async def tell_admins(db: AsyncSession, settings: Settings, post_id: int, reporter_id: int) -> None:
    """Posts an email to ADMINS in the report's transaction.

    Only a post's first open report gets one, and it covers all reports of the next few minutes. It leaves when their
    transactions have surely ended.
    """
    if not await reports.is_first(db, post_id, reporter_id):
        return
    times, _ends = await rate_limits.tally(db, settings, GATHERING, "all")
    if times == 1:
        await kinds.post_to_each(db, settings, "post_reported", settings.admin_addresses, GATHERED + LEEWAY)


@dataclass(frozen=True)
class Act:
    """What an admin did, one of ACTS, and to whose account."""

    kind: str
    admin: str
    username: str
    at: datetime


async def tell_other_admins(db: AsyncSession, settings: Settings, address: str) -> None:
    """Posts an email to ADMINS, but not to the admin of that address, in the transaction of what they did.

    It covers all that admins do within the next few minutes.
    """
    others = sorted(settings.admin_addresses - {address})
    untold = await rate_limits.begin(db, settings, GATHERING_ACTS, others)
    await kinds.post_to_each(db, settings, "admin_acted", untold, GATHERED + LEEWAY)


@email_kind(
    "admin_acted",
    expires_after=EXPIRES_AFTER,
    counts_repeats=False,  # it names everything
    samples=lambda site: [_acts_draft(site, "host@example.com", acts) for acts in _sample_acts()],
)
async def admin_acted(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To an admin: what the others did to accounts. Not sent if that was nothing, or its accounts are gone, nor to
    somebody who is no admin any more.
    """
    if email.recipient not in settings.admin_addresses:
        return None
    since = email.created_at - LEEWAY
    query = (
        select(SecurityEvent, User)
        .join(User, col(User.id) == col(SecurityEvent.user_id))
        .where(
            col(SecurityEvent.created_at).between(since, since + GATHERED + LEEWAY), col(SecurityEvent.kind).in_(ACTS)
        )
        .order_by(col(SecurityEvent.id))
    )
    found = [(event, events.admin_named(event), user) for event, user in (await db.exec(query)).all()]
    reader = await users.find(db, email.recipient)
    own = reader.username if reader else ""
    acts = [Act(event.kind, who, user.username, event.created_at) for event, who, user in found if who not in {"", own}]
    return _acts_draft(settings, email.recipient, acts) if acts else None


@email_kind(
    "post_reported",
    expires_after=EXPIRES_AFTER,
    counts_repeats=False,  # it names everything that waits
    samples=lambda site: [_reported_draft(site, "host@example.com", _sample_cases())],
)
async def post_reported(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To an admin, if they still are one: what is waiting for a decision. Not sent if everything has been decided."""
    cases = await reports.waiting(db) if email.recipient in settings.admin_addresses else []
    return _reported_draft(settings, email.recipient, cases) if cases else None


@email_kind(
    "post_removed",
    expires_after=EXPIRES_AFTER,
    counts_repeats=False,  # each has its own reason
    samples=lambda site: [_removed_draft(site, a_sample_person(), _sample_post())],
)
async def post_removed(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To the author of a removed post."""
    user, post = await users.get_active(db, email.owner_id), await db.get(Post, email.parameters["post_id"])
    return _removed_draft(settings, user, post) if user and post else None


@email_kind(
    "account_disabled",
    expires_after=EXPIRES_AFTER,
    counts_repeats=False,  # each has its own reason
    samples=lambda site: [_disabled_draft(site, a_sample_person(), "Advertising.")],
)
async def account_disabled(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To a person whose account was disabled. Not sent if it has been enabled again."""
    user = await users.get(db, email.owner_id)
    if user is None or user.disabled_at is None:
        return None
    return _disabled_draft(settings, user, email.parameters.get("reason", ""))


def _reported_draft(settings: Settings, address: str, cases: Sequence[Case]) -> Draft:
    values = {
        "cases": cases[:NAMED],
        "count": len(cases),
        "others": len(cases) - len(cases[:NAMED]),
        "link": f"{settings.base_url}/admin/reports",
    }
    return Draft("post_reported", address, values)


def _acts_draft(settings: Settings, address: str, acts: Sequence[Act]) -> Draft:
    values = {
        "acts": acts[:NAMED],
        "count": len({act.username for act in acts}),
        "others": len(acts) - len(acts[:NAMED]),
        "link": f"{settings.base_url}/admin/people",
    }
    return Draft("admin_acted", address, values)


def _removed_draft(settings: Settings, user: User, post: Post) -> Draft:
    words = " ".join(post.body.split())
    quote = without_links(words if len(words) <= QUOTED else f"{words[:QUOTED]}\u2026")
    values = {"username": user.username, "quote": quote, "created": post.created_at, "reason": post.removed_because}
    return Draft("post_removed", user.email, values, user.id)


def _disabled_draft(settings: Settings, user: User, reason: str) -> Draft:
    return Draft("account_disabled", user.email, {"username": user.username, "reason": reason}, user.id)


def _sample_post() -> Post:
    body = "Cheap watches, only today! Write to me."
    return Post(
        id=1, author_id=0, body=body, created_at=A_SAMPLE_DAY, removed_because="Advertising is not wanted here."
    )


def _sample_cases() -> list[Case]:
    return [Case(number, 0, "susan", "susan@example.com", "", A_SAMPLE_DAY, 0, number) for number in (1, 2)]


def _sample_acts() -> list[list[Act]]:
    """One of each, and more than are named."""
    acts = [Act(kind, "ann", "susan", A_SAMPLE_DAY) for kind in ACTS]
    return [acts[:1], acts, acts * NAMED]
