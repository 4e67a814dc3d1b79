"""What gives away a robot that fills in the registration form: a field that people don't see, and haste.

Nobody is told. A robot's request is answered and counted like everybody's, with the same work. Only the mailer, which
recognises the request by its id, writes no email.
"""

from itsdangerous import BadSignature, SignatureExpired

from webapp import clock, signing
from webapp.settings import Settings

A_DAY = 24 * 3600


class Outdated(Exception):
    """The page was opened so long ago that the form must be sent again."""


def stamp(settings: Settings) -> str:
    """Goes into the form, and says when its page was made."""
    return _signer(settings).sign(b"").decode()


def sign_of(settings: Settings, trap: str, seen: str) -> str:
    """What gives a robot away: "trap", "forged" or "haste"; "" for people. Raises Outdated.

    A form without a stamp wasn't made by our page. It is accepted: programs register people, too, and the mailbox, the
    limits and the budget hold for them as for everybody.
    """
    if trap:
        return "trap"
    if not seen:
        return ""
    try:
        _nothing, made_at = _signer(settings).unsign(seen, max_age=A_DAY, return_timestamp=True)
    except SignatureExpired:
        raise Outdated from None
    except BadSignature:
        return "forged"
    seconds = clock.seconds() - made_at.timestamp()  # fewer than none if another machine's clock is ahead
    return "haste" if 0 <= seconds < settings.registration_least_seconds else ""


def _signer(settings: Settings) -> signing.Signer:
    return signing.signer(settings, "registration_form", "seen")
