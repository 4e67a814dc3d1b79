"""One email, sent now, with the server's own words: is the mail set up right?"""

import sys
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from email.utils import format_datetime, make_msgid

import aiosmtplib

from webapp.database import now
from webapp.delivery.conversation import let_in, name_recipient
from webapp.i18n import gettext as _
from webapp.logs import printable, say
from webapp.mail import mime
from webapp.names import identities
from webapp.replies import advice
from webapp.settings import Settings


async def send(settings: Settings, address: str, patience: float = advice.PATIENCE) -> int:
    """Sends a test email and prints what happened, step by step; returns the exit code."""
    try:
        address = identities.canonical_address(address, settings.mail_local_domains)
    except ValueError:
        return _say(_("'%(typed)s' is not an email address.") % {"typed": address}, 1)
    if not settings.mail_server:
        return _say(_("MAIL_SERVER is not set, so there is no server to try."), 1)
    where = {"server": settings.mail_server, "port": settings.mail_port, "how": advice.encryption(settings)}
    _say(_("Connecting to %(server)s, port %(port)s (%(how)s) ...") % where)
    try:
        async with await let_in(settings, patience=patience) as client:
            logged_in = _("Connected, logged in as %(username)s.") % {"username": settings.mail_username}
            _say(logged_in if settings.mail_username else _("Connected."))
            await client.mail(settings.sender_address)
            await name_recipient(client, address)
            answer = await client.data(_email(settings, address))
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        _say(_("The server says: %(words)s") % {"words": advice.words_of(error, address)})
        return _say(_("What to check: %(advice)s") % {"advice": advice.advice(settings, error)}, 1)
    _say(_("The server says: %(words)s") % {"words": f"{answer.code} {printable(answer.message)}"})
    return _say(_("The email to %(address)s is on its way.") % {"address": address})


def _email(settings: Settings, address: str) -> bytes:
    named = {
        "From": settings.sender,
        "To": address,
        "Subject": _("A test email from %(site)s") % {"site": settings.site_name},
        "Date": format_datetime(now()),
        "Message-ID": make_msgid(domain=settings.host),
        "Auto-Submitted": "auto-generated",
    }
    message = EmailMessage(policy=POLICY)
    message.set_content(_("This is a test. %(url)s can send emails.") % {"url": settings.base_url} + "\n")
    return mime.written(named, message)


def _say(words: str, code: int = 0) -> int:
    say(words, sys.stderr if code else sys.stdout)
    return code
