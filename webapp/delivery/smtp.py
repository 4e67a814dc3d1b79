"""Delivers over SMTP: one recipient at a time, over a kept and encrypted connection (RFC 5321, RFC 3207)."""

import asyncio
import ssl
import time
from functools import cached_property
from typing import Protocol

import aiosmtplib
from aiosmtplib import SMTP

from webapp.delivery import conversation
from webapp.delivery.pace import USUAL, Pace
from webapp.mail.models import Outcome, Verdict
from webapp.replies import outcomes, return_paths
from webapp.settings import Settings

EMAILS_A_CONNECTION = 50
IDLE_SECONDS = 30.0
_needed: dict[tuple[str, int], float] = {}  # how many seconds an answer may take, of servers that were silent lately


class Transport(Protocol):
    """What takes a written email away."""

    async def deliver(self, recipient: str, message: bytes, attempt: int = 1) -> Outcome: ...
    async def close(self) -> None: ...
    def is_idle(self) -> bool: ...


class Connection:
    """One connection to the mail server: opened on demand, kept for the next email, dropped after any error."""

    def __init__(self, settings: Settings, pace: Pace = USUAL) -> None:
        self.settings = settings
        self.pace = pace
        self._client: SMTP | None = None
        self._emails = 0
        self._used = 0.0
        self._is_quick = False
        self._stage = outcomes.CONNECT

    async def deliver(self, recipient: str, message: bytes, attempt: int = 1) -> Outcome:
        """Sends one email to one recipient; the first `attempt` is 1. Never raises: the outcome says what was wrong."""
        patience = min(self.pace.command, self.pace.patience * 2 ** min(attempt - 1, 9))
        was_open = self._is_fresh()
        try:
            async with asyncio.timeout(self.pace.deadline):
                outcome = await self._attempt(recipient, message, patience)
                if was_open and outcome.verdict is Verdict.UNAVAILABLE and outcome.code in {None, 421}:
                    # A server may hang up on an old connection. Only a new one shows whether the server is down.
                    outcome = await self._attempt(recipient, message, patience)
                return outcome
        except TimeoutError:
            error = TimeoutError(f"it took longer than {self.pace.deadline:.0f} seconds")
            return outcomes.of(error, self._stage, recipient)

    async def close(self) -> None:
        """Says goodbye to the server, if it is listening."""
        client, self._client = self._client, None
        if client is None:
            return
        try:
            async with asyncio.timeout(2):
                await client.execute_command(b"QUIT")
        except (TimeoutError, OSError, aiosmtplib.SMTPException):
            pass
        finally:
            await conversation.hang_up(client)

    def is_idle(self) -> bool:
        return self._client is not None and not self._is_fresh()

    @cached_property
    def _tls_context(self) -> ssl.SSLContext | None:
        """Read once, since the machine's certificates take some 25 ms; but again after a server couldn't be reached."""
        return conversation.trust(self.settings)

    async def _attempt(self, recipient: str, message: bytes, patience: float) -> Outcome:
        self._stage, usual = outcomes.CONNECT, self._patience()
        try:
            client = await self._open(usual)
            self._stage = outcomes.MAIL
            await client.mail(return_paths.of(self.settings, recipient), timeout=usual)
            conversation.keep_in_step(client)
            self._stage = outcomes.RCPT
            await conversation.name_recipient(client, recipient, max(patience, usual))
            conversation.keep_in_step(client)
            self._stage = outcomes.DATA
            await conversation.announce_email(client, max(patience, usual))
            conversation.keep_in_step(client)
            self._stage = outcomes.DOT
            await conversation.hand_over(client, message, self.pace.final)
            conversation.keep_in_step(client, unless=(b"2",))  # it has taken the email, and says so twice
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            self._throw_away()
            self._note_silence(error, usual)
            return outcomes.of(error, self._stage, recipient)
        except BaseException:
            self._throw_away()
            raise
        self._emails += 1
        self._used = time.monotonic()
        if self._is_quick:
            _needed.pop(self._server, None)
        if conversation.unread(client):
            self._throw_away()
        return Outcome(Verdict.SENT, 250)

    async def _open(self, patience: float) -> SMTP:
        if not self._is_fresh():
            await self.close()
        if self._client is None:
            began = time.monotonic()
            self._client = await conversation.let_in(self.settings, self._tls_context, patience)
            self._emails = 0
            conversation.keep_in_step(self._client)
            self._used = time.monotonic()
            self._is_quick = self._used - began < self.pace.patience
        return self._client

    @property
    def _server(self) -> tuple[str, int]:
        return self.settings.mail_server, self.settings.mail_port

    def _patience(self) -> float:
        return max(self.pace.patience, _needed.get(self._server, 0.0))

    def _note_silence(self, error: Exception, patience: float) -> None:
        """Gives a server that said nothing in time twice as long from now on, until it is quick again."""
        if isinstance(error, aiosmtplib.SMTPTimeoutError) and self._stage in {outcomes.CONNECT, outcomes.MAIL}:
            _needed[self._server] = min(self.pace.command, max(2 * patience, self._patience()))

    def _is_fresh(self) -> bool:
        is_connected = self._client is not None and self._client.is_connected
        is_young = self._emails < EMAILS_A_CONNECTION and time.monotonic() - self._used < IDLE_SECONDS
        return is_connected and is_young

    def _throw_away(self) -> None:
        if self._stage == outcomes.CONNECT:
            self.__dict__.pop("_tls_context", None)
        if self._client is not None:
            conversation.drop(self._client)
        self._client = None
