"""The set-up of an authenticator app: what the page shows before anything is kept.

Secret and recovery codes travel in a field of the form, sealed for the one account: who gives up half-way has changed
nothing, and a mistake costs neither the picture nor the sheet.
"""

import json
from dataclasses import asdict, dataclass

from webapp.database import now
from webapp.factors import codes, sealing, totp
from webapp.factors.sealing import Unreadable
from webapp.settings import Settings

LIFETIME_SECONDS = 3600


@dataclass(frozen=True)
class Setup:
    """A secret for the app, and ten recovery codes as they are shown."""

    secret: str
    codes: list[str]
    begun: int


def begin() -> Setup:
    return Setup(totp.new_secret(), codes.new(), int(now().timestamp()))


def seal(settings: Settings, setup: Setup, user_id: int, epoch: int) -> str:
    return sealing.seal(settings, json.dumps(asdict(setup)), _about(user_id, epoch))


def unseal(settings: Settings, sealed: str, user_id: int, epoch: int) -> Setup | None:
    """What the page has shown, within the hour and the epoch; None if it is not ours."""
    try:
        setup = Setup(**json.loads(sealing.unseal(settings, sealed, _about(user_id, epoch))))
    except Unreadable:
        return None
    return setup if now().timestamp() - setup.begun < LIFETIME_SECONDS else None


def _about(user_id: int, epoch: int) -> str:
    return f"set-up of {user_id} in {epoch}"
