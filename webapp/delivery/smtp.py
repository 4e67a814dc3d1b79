"""Deliver over SMTP, and sort every answer into sent, later, never or unavailable (RFC 5321, RFC 3207)."""

import asyncio
import logging
import ssl
import time
from datetime import datetime
from email.utils import parseaddr
from functools import cached_property
from typing import Protocol

import aiosmtplib
from aiosmtplib import SMTP

from webapp.database import now
from webapp.mail.models import Outcome, Verdict
from webapp.settings import Settings

log = logging.getLogger("webapp.mail")

DEADLINE = 45.0  # seconds for one email, connecting included
COMMAND_TIMEOUT = 20.0
EMAILS_A_CONNECTION = 50
IDLE_SECONDS = 30.0
# Seconds to leave the server alone after it could not be used; the last one repeats.
PAUSES = (1, 2, 5, 15, 30)


class Transport(Protocol):
    """What takes a written email away."""

    async def deliver(self, recipient: str, message: bytes) -> Outcome: ...
    async def close(self) -> None: ...
    def is_idle(self) -> bool: ...


class Connection:
    """One connection to the mail server: opened on demand, kept for the next email, thrown away after any error."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.envelope_sender = parseaddr(settings.sender)[1]
        self._client: SMTP | None = None
        self._emails = 0
        self._used = 0.0

    async def deliver(self, recipient: str, message: bytes) -> Outcome:
        """Sends one email to one recipient. Never raises: what went wrong is in the outcome."""
        was_open = self._is_fresh()
        try:
            async with asyncio.timeout(DEADLINE):
                outcome = await self._attempt(recipient, message)
                if was_open and outcome.verdict is Verdict.UNAVAILABLE and outcome.code in {None, 421}:
                    # A server may hang up on a connection that it finds old; only a new one tells whether it is away.
                    outcome = await self._attempt(recipient, message)
                return outcome
        except TimeoutError:
            return Outcome(Verdict.UNAVAILABLE, None, f"The server took longer than {DEADLINE:.0f} seconds.")

    async def close(self) -> None:
        """Says goodbye to the server, if it listens."""
        client, self._client = self._client, None
        if client is None:
            return
        try:
            async with asyncio.timeout(2):
                await client.quit()
        except (TimeoutError, OSError, aiosmtplib.SMTPException):
            pass
        finally:
            await hang_up(client)

    def is_idle(self) -> bool:
        return self._client is not None and not self._is_fresh()

    @cached_property
    def _tls_context(self) -> ssl.SSLContext | None:
        return _tls_context(self.settings)  # once: the machine's certificates take some 25 ms to read

    async def _attempt(self, recipient: str, message: bytes) -> Outcome:
        is_handed_over = False
        try:
            client = await self._open()
            await client.mail(self.envelope_sender)
            await client.rcpt(recipient)
            is_handed_over = True
            await client.data(message)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            self._throw_away()
            return _sort(error, is_handed_over)
        except BaseException:
            self._throw_away()
            raise
        self._emails += 1
        self._used = time.monotonic()
        return Outcome(Verdict.SENT, 250)

    async def _open(self) -> SMTP:
        if not self._is_fresh():
            await self.close()
        if self._client is None:
            self._client = client_for(self.settings, self._tls_context)
            self._emails = 0
            await self._client.connect()
            self._used = time.monotonic()
        return self._client

    def _is_fresh(self) -> bool:
        is_connected = self._client is not None and self._client.is_connected
        is_young = self._emails < EMAILS_A_CONNECTION and time.monotonic() - self._used < IDLE_SECONDS
        return is_connected and is_young

    def _throw_away(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None


class Breaker:
    """Remembers that the mail server could not be used, and when to try it again with one email."""

    def __init__(self) -> None:
        self.reason = ""
        self.since: datetime | None = None
        self._failures = 0
        self._until = 0.0
        self._is_new = True

    @property
    def is_open(self) -> bool:
        return self.since is not None

    @property
    def wait(self) -> float:
        """Seconds until the server may be tried again."""
        return max(0.0, self._until - time.monotonic())

    def note(self, outcome: Outcome) -> bool:
        """Opens after an outcome that was the server's fault, closes after any other; says whether that is news.

        The first outcome of a process always is: the one before it may have left in trouble.
        """
        is_news, self._is_new = self.is_open or self._is_new, False
        if outcome.verdict is not Verdict.UNAVAILABLE:
            if self.is_open:
                log.info("mail_server_back")
            self.since, self._failures, self._until = None, 0, 0.0
            return is_news
        if not self.wait:  # else it was open for this moment already
            pause = PAUSES[min(self._failures, len(PAUSES) - 1)]
            self.reason, self.since = outcome.reason, self.since or now()
            self._failures, self._until = self._failures + 1, time.monotonic() + pause
            fields = {"code": outcome.code, "reason": outcome.reason, "pause": pause}
            log.warning("mail_server_unavailable", extra={"fields": fields})
            return True
        return False


async def hang_up(client: SMTP) -> None:
    """Closes a connection without a goodbye, and lets the event loop see it closed before it may end."""
    client.close()
    await asyncio.sleep(0.01)


def client_for(settings: Settings, tls_context: ssl.SSLContext | None = None) -> SMTP:
    """A client that encrypts as the settings say, or not at all: it never falls back to plain text."""
    return SMTP(
        hostname=settings.mail_server,
        port=settings.mail_port,
        use_tls=settings.mail_use_ssl,
        start_tls=settings.mail_use_tls,
        username=settings.mail_username or None,
        password=settings.mail_password or None,
        timeout=COMMAND_TIMEOUT,
        tls_context=tls_context or _tls_context(settings),
    )


def _tls_context(settings: Settings) -> ssl.SSLContext | None:
    return ssl.create_default_context() if settings.mail_use_tls or settings.mail_use_ssl else None


def _sort(error: Exception, is_handed_over: bool) -> Outcome:
    """What an error means for the email; see RFC 5321, 4.2 for the codes."""
    words = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, aiosmtplib.SMTPRecipientRefused | aiosmtplib.SMTPDataError):
        if error.code == 421:
            return Outcome(Verdict.UNAVAILABLE, 421, f"The server ended the conversation: {error.message}")
        if error.code < 500:
            return Outcome(Verdict.LATER, error.code, error.message)
        refused = error.recipient if isinstance(error, aiosmtplib.SMTPRecipientRefused) else None
        return Outcome(Verdict.NEVER, error.code, error.message, refused)
    if isinstance(error, aiosmtplib.SMTPSenderRefused):
        if 400 <= error.code < 500 and error.code != 421:
            return Outcome(Verdict.LATER, error.code, error.message)
        return Outcome(Verdict.UNAVAILABLE, error.code, f"The server refuses our sender: {error.message}")
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return Outcome(Verdict.UNAVAILABLE, error.code, f"The server refuses our log-in: {error.message}")
    if isinstance(error, ssl.SSLError):
        return Outcome(Verdict.UNAVAILABLE, None, f"The server's certificate or TLS is not in order: {words}")
    if isinstance(error, aiosmtplib.SMTPNotSupported) or "not supported" in words:
        return Outcome(Verdict.UNAVAILABLE, None, f"The server does not offer what the settings ask for: {words}")
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return Outcome(Verdict.UNAVAILABLE, error.code, error.message)
    if is_handed_over:
        return Outcome(Verdict.LATER, None, f"The server hung up before it said whether it took the email: {words}")
    return Outcome(Verdict.UNAVAILABLE, None, f"The server can't be reached: {words}")
