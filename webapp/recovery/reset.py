"""The reset: a link from the account's own mailbox sets a new password, and that ends everything else.

    asked for (views) -> emails.reset_password mints the link -> owner -> finish -> log in with the new password

A reset logs nobody in. The only thing it keeps is that a known browser stays known.
"""

import json
import math
from dataclasses import replace
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import clock, rate_limits
from webapp.accounts import users
from webapp.accounts.endings import Ended, Keep
from webapp.accounts.models import User
from webapp.accounts.tokens import Claim, Purpose
from webapp.audit.events import ClientInfo, Event
from webapp.i18n import gettext as _
from webapp.i18n import ngettext
from webapp.passwords.hasher import Hasher
from webapp.settings import Settings

MOST_MINUTES = 60  # that a link works, whatever RESET_TOKEN_MINUTES says
# What an owner may do at once after a reset, however often somebody else has done it.
LOCKING_UP = (
    rate_limits.CHANGE_PASSWORD,
    rate_limits.CHANGE_EMAIL,
    replace(rate_limits.CHANGE_USERNAME, rates=rate_limits.OWN_CHANGES),  # but the account keeps no more usernames
    rate_limits.TAKE_BACK_USERNAME,
    rate_limits.RECOVERY_CODES,
    rate_limits.FACTORS,
    rate_limits.PASSKEYS,
    rate_limits.SWITCHES,
    rate_limits.SMALL_CHANGES,
    rate_limits.LOG_INS,
)


async def owner(db: AsyncSession, settings: Settings, token: str, opened: str = "") -> tuple[User, Claim]:
    """The owner of a reset link, and what the link says; `opened` is its form's stamp. Raises TokenInvalid."""
    return await users.of_unused_link(db, settings, Purpose.RESET_PASSWORD, token, opened)


async def finish(
    db: AsyncSession, hasher: Hasher, settings: Settings, user: User, password: str, client: ClientInfo, keep: Keep
) -> Ended:
    """Sets the password, which ends everything and unlocks the account. Raises Overtaken (one wins) and Busy.

    `keep` has the recovery codes if a second factor was shown: the log-in that follows asks for one again, and somebody
    who has lost the phone has nothing else. It has a passkey if one was shown.
    """
    return await users.change_password(db, hasher, settings, user, password, client, Event.PASSWORD_RESET, keep)


def time_left(claim: Claim) -> dict[str, Any]:
    """How long a link still works: the `words` for now, and what a script needs to count on: the `seconds` from now,
    and what to say after the form's last moment, before that, and with one minute left, with two, and so on.
    """
    seconds = claim.expires_at - clock.seconds()
    minutes = min(max(0, math.ceil(seconds / 60)), MOST_MINUTES)
    expired = _("This link has just expired. You can still save within a few minutes.")
    said = [_("This link has expired."), expired, *map(_minutes_left, range(1, minutes + 1))]
    return {"words": said[-1], "seconds": math.floor(seconds), "said": json.dumps(said, ensure_ascii=False)}


def _minutes_left(minutes: int) -> str:
    words = ngettext(
        "This link works for another %(num)s minute.", "This link works for another %(num)s minutes.", minutes
    )
    return words % {"num": minutes}


async def begin_counts_anew(db: AsyncSession, settings: Settings, user: User) -> None:
    """Starts the account's limits anew after a reset: somebody who was in the account, or guessed, may have used them
    up, and the owner needs them now.
    """
    of_codes = [(rate_limits.RECOVER_ANYWHERE, identity) for identity in (user.username_key, user.email)]
    of_account = [(limit, str(user.id)) for limit in (*LOCKING_UP, rate_limits.SECOND_STEP_ANYWHERE)]
    await rate_limits.forget(db, settings, *of_codes, *of_account)
