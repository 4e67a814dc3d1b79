"""One email, sent now, with the server's own words: is the mail set up right?"""

import sys
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from email.utils import format_datetime, make_msgid, parseaddr

import aiosmtplib

from webapp.database import now
from webapp.delivery.smtp import client_for, hang_up
from webapp.mail import mime
from webapp.settings import SITE_NAME, Settings


async def send(settings: Settings, address: str) -> int:
    """Sends a test email and prints what happened, step by step; returns the exit code."""
    if not settings.mail_server:
        return _say("MAIL_SERVER is not set, so there is no server to try.", 1)
    encryption = "implicit TLS" if settings.mail_use_ssl else "STARTTLS" if settings.mail_use_tls else "no encryption"
    _say(f"Connecting to {settings.mail_server}, port {settings.mail_port}, with {encryption} ...")
    client = client_for(settings)
    try:
        await client.connect()
        _say("Connected" + (f", logged in as {settings.mail_username}." if settings.mail_username else "."))
        await client.mail(parseaddr(settings.sender)[1])
        await client.rcpt(address)
        answer = await client.data(_email(settings, address))
        await client.quit()
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        await hang_up(client)
        _say(f"The server says: {words_of(error)}")
        return _say(f"What to check: {advice(settings, error)}", 1)
    return _say(f"The server says: {answer.code} {answer.message}\nThe email to {address} is on its way.", 0)


def _email(settings: Settings, address: str) -> bytes:
    named = {
        "From": settings.sender,
        "To": address,
        "Subject": f"A test email from {SITE_NAME}",
        "Date": format_datetime(now()),
        "Message-ID": make_msgid(domain=settings.host),
        "Auto-Submitted": "auto-generated",
    }
    message = EmailMessage(policy=POLICY)
    message.set_content(f"This is a test. {settings.base_url} can send emails.\n")
    return mime.written(named, message)


def words_of(error: Exception) -> str:
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return f"{error.code} {error.message}"
    return " ".join(str(error).split()) or type(error).__name__


def advice(settings: Settings, error: Exception) -> str:
    port = settings.mail_port
    text = str(error).lower()
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return "MAIL_USERNAME and MAIL_PASSWORD. Many providers want a password made for programs, not your own."
    if "certificate" in text:
        return "MAIL_SERVER must be the name in the server's certificate, and the certificate must be valid today."
    if "starttls" in text:
        return f"Port {port} has no STARTTLS. Try MAIL_PORT=587 with MAIL_USE_TLS=1, or 465 with MAIL_USE_SSL=1."
    if "ssl" in text or "wrong version" in text or (port == 465 and isinstance(error, TimeoutError)):
        return "465 wants MAIL_USE_SSL=1 and 587 wants MAIL_USE_TLS=1; this looks like the other way round."
    if isinstance(error, TimeoutError):
        return f"port {port} seems blocked: many hosts block 25; ask yours, or try 587 or 465."
    if "name or service" in text or "getaddrinfo" in text or "nodename" in text:
        return "MAIL_SERVER: no machine has this name."
    if isinstance(error, aiosmtplib.SMTPConnectError) and not isinstance(error, aiosmtplib.SMTPResponseException):
        return f"is MAIL_SERVER right, and does it listen on port {port}? 587 (STARTTLS) and 465 (TLS) are usual."
    if isinstance(error, aiosmtplib.SMTPSenderRefused):
        return f"MAIL_SENDER ({settings.sender}) must be an address that this server lets you use."
    return "the server's words above say what it did not like."


def _say(words: str, code: int = 0) -> int:
    print(words, file=sys.stderr if code else sys.stdout)
    return code
