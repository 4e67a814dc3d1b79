"""One email, sent now, with the server's own words: is the mail set up right?"""

import sys
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from email.utils import format_datetime, make_msgid, parseaddr

import aiosmtplib
from email_validator import EmailNotValidError, validate_email

from webapp.database import now
from webapp.delivery.smtp import client_for, enter, hang_up, name_recipient
from webapp.mail import mime
from webapp.operator import mail_advice
from webapp.settings import Settings


async def send(settings: Settings, address: str) -> int:
    """Sends a test email and prints what happened, step by step; returns the exit code."""
    try:
        found = validate_email(address, check_deliverability=False, strict=True, allow_smtputf8=False)
    except EmailNotValidError as refused:
        return _say(f"'{address}' is not an email address: {refused}", 1)
    address = found.ascii_email or found.normalized
    if not settings.mail_server:
        return _say("MAIL_SERVER is not set, so there is no server to try.", 1)
    encryption = "implicit TLS" if settings.mail_use_ssl else "STARTTLS" if settings.mail_use_tls else "no encryption"
    _say(f"Connecting to {settings.mail_server}, port {settings.mail_port}, with {encryption} ...")
    client = client_for(settings, timeout=mail_advice.PATIENCE)
    try:
        await enter(client, settings)
        _say("Connected" + (f", logged in as {settings.mail_username}." if settings.mail_username else "."))
        await client.mail(parseaddr(settings.sender)[1])
        await name_recipient(client, address)
        answer = await client.data(_email(settings, address))
        await client.quit()
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        await hang_up(client)
        _say(f"The server says: {mail_advice.words_of(error, address)}")
        return _say(f"What to check: {mail_advice.advice(settings, error)}", 1)
    return _say(f"The server says: {answer.code} {answer.message}\nThe email to {address} is on its way.", 0)


def _email(settings: Settings, address: str) -> bytes:
    named = {
        "From": settings.sender,
        "To": address,
        "Subject": f"A test email from {settings.site_name}",
        "Date": format_datetime(now()),
        "Message-ID": make_msgid(domain=settings.host),
        "Auto-Submitted": "auto-generated",
    }
    message = EmailMessage(policy=POLICY)
    message.set_content(f"This is a test. {settings.base_url} can send emails.\n")
    return mime.written(named, message)


def _say(words: str, code: int = 0) -> int:
    print(words, file=sys.stderr if code else sys.stdout)
    return code
