"""The authenticator app: setting it up, and its codes of six digits that change every 30 seconds (RFC 6238).

Nothing is stored here. The factor's row knows which codes were used.
"""

import hmac
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from markupsafe import Markup

from webapp.database import now
from webapp.factors import codes, sealing
from webapp.i18n import ngettext
from webapp.settings import Settings
from webapp.signing import CannotDecrypt

STEP_SECONDS = 30
DRIFT = 1  # the codes of the step before and after count too: clocks differ, and people type slowly
SEARCHED = 20  # steps searched for a code, to say how wrong the phone's clock is
SETUP_SECONDS = 3600
_CODE = re.compile(r"[0-9]{6}")


@dataclass(frozen=True)
class Setup:
    """A secret for the app, and ten recovery codes as they are shown, before any of it is stored.

    It travels in a form field, encrypted for this account. Giving up half-way changes nothing, and a mistake costs
    neither the QR code nor the sheet of codes.
    """

    secret: str
    codes: list[str]
    begun: int


def canonical(text: str) -> str | None:
    """The six digits, however they were typed; None if they can't be a code."""
    code = re.sub(r"[\s\-]", "", text)
    return code if _CODE.fullmatch(code) else None


def new_secret() -> str:
    """160 random bits (RFC 4226, 4), in base32."""
    import pyotp  # takes 20 ms, and only people with an app need it

    return pyotp.random_base32()


def step_at(seconds: float) -> int:
    return int(seconds // STEP_SECONDS)


def step_of(secret: str, code: str, seconds: float) -> int | None:
    """The time step around a moment that a code belongs to; None if there is none."""
    current = step_at(seconds)
    return _found(secret, code, range(current + DRIFT, current - DRIFT - 1, -1))


def step_nearby(secret: str, code: str, seconds: float) -> int | None:
    """The time step that a code belongs to if the phone's clock is off; None if there is none nearby."""
    current = step_at(seconds)
    return _found(secret, code, [current + way * steps for steps in range(1, SEARCHED + 1) for way in (1, -1)])


def clock_is_off(step: int, seconds: float) -> str:
    minutes = max(1, round(abs(step - step_at(seconds)) * STEP_SECONDS / 60))
    words = ngettext(
        "Your phone's clock is off by about %(num)s minute. Let it set its time by itself, then type the next code.",
        "Your phone's clock is off by about %(num)s minutes. Let it set its time by itself, then type the next code.",
        minutes,
    )
    return words % {"num": minutes}


def link(site_name: str, username: str, secret: str) -> str:
    """The text of the QR code, from which the app learns the site, the account and the secret."""
    import pyotp

    return pyotp.TOTP(secret).provisioning_uri(name=username, issuer_name=site_name.replace(":", " "))


def picture(link: str) -> Markup:
    """A QR code as SVG, without inline styles."""
    import segno  # takes 40 ms, and only people setting up an app need it

    code = segno.make(link, error="m", micro=False)
    return Markup(code.svg_inline(border=4, omitsize=True, svgclass="qr"))  # noqa: S704  (made of squares alone)


def spelled(secret: str) -> str:
    """The secret in groups of four, for people to type."""
    return " ".join(secret[start : start + 4] for start in range(0, len(secret), 4))


def begin_setup() -> Setup:
    return Setup(new_secret(), codes.new(), int(now().timestamp()))


def seal_setup(settings: Settings, setup: Setup, user_id: int, epoch: int) -> str:
    return sealing.seal(settings, json.dumps(asdict(setup)), _about(user_id, epoch))


def unseal_setup(settings: Settings, sealed: str, user_id: int, epoch: int) -> Setup | None:
    """What the page showed, within the hour and the epoch; None if it isn't ours."""
    try:
        setup = Setup(**json.loads(sealing.unseal(settings, sealed, _about(user_id, epoch))))
    except CannotDecrypt:
        return None
    return setup if now().timestamp() - setup.begun < SETUP_SECONDS else None


def _found(secret: str, code: str, steps: Iterable[int]) -> int | None:
    import pyotp

    totp = pyotp.TOTP(secret)
    return next((step for step in steps if step >= 0 and hmac.compare_digest(totp.generate_otp(step), code)), None)


def _about(user_id: int, epoch: int) -> str:
    return f"set-up of {user_id} in {epoch}"
