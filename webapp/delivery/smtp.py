"""Delivers over SMTP: one recipient at a time, over a kept and encrypted connection (RFC 5321, RFC 3207)."""

import asyncio
import socket
import ssl
import time
from functools import cached_property
from typing import Any, Protocol, cast

import aiosmtplib
from aiosmtplib import SMTP

from webapp.delivery import return_paths
from webapp.delivery.pace import USUAL, Pace
from webapp.mail.models import Outcome, Verdict
from webapp.replies import outcomes
from webapp.settings import Settings

Address = tuple[int, int, int, str, tuple[Any, ...]]  # as getaddrinfo has it
REACH_TIMEOUT = 20.0  # for the network, and for a server that has another address
EMAILS_A_CONNECTION = 50
IDLE_SECONDS = 30.0
_answered: dict[tuple[str, int], object] = {}  # the address of each mail server that was last reached


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
        self._stage = outcomes.CONNECT

    async def deliver(self, recipient: str, message: bytes, attempt: int = 1) -> Outcome:
        """Sends one email to one recipient; the first `attempt` is 1. Never raises: the outcome says what was wrong."""
        patience = min(self.pace.command, self.pace.recipient * 2 ** min(attempt - 1, 9))
        was_open = self._is_fresh()
        try:
            async with asyncio.timeout(self.pace.deadline):
                outcome = await self._attempt(recipient, message, patience)
                if was_open and outcome.verdict is Verdict.UNAVAILABLE and outcome.code in {None, 421}:
                    # A server may hang up on an old connection. Only a new one shows whether the server is down.
                    outcome = await self._attempt(recipient, message, patience)
                return outcome
        except TimeoutError:
            return Outcome(Verdict.UNAVAILABLE, None, f"The server took longer than {self.pace.deadline:.0f} seconds.")

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
            await hang_up(client)

    def is_idle(self) -> bool:
        return self._client is not None and not self._is_fresh()

    @cached_property
    def _tls_context(self) -> ssl.SSLContext | None:
        """Read once, since the machine's certificates take some 25 ms; but again after a server couldn't be reached."""
        return _tls_context(self.settings)

    async def _attempt(self, recipient: str, message: bytes, patience: float) -> Outcome:
        self._stage = outcomes.CONNECT
        try:
            client = await self._open()
            self._stage = outcomes.MAIL
            await client.mail(return_paths.of(self.settings, recipient))
            _keep_in_step(client)
            self._stage = outcomes.RCPT
            await name_recipient(client, recipient, patience)
            _keep_in_step(client)
            self._stage = outcomes.DATA
            await client.data(message, timeout=self.pace.final)
            _keep_in_step(client, unless=(b"2",))  # it has taken the email, and says so twice
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            self._throw_away()
            return outcomes.of(error, self._stage, recipient)
        except BaseException:
            self._throw_away()
            raise
        self._emails += 1
        self._used = time.monotonic()
        if _unread(client):
            self._throw_away()
        return Outcome(Verdict.SENT, 250)

    async def _open(self) -> SMTP:
        if not self._is_fresh():
            await self.close()
        if self._client is None:
            self._client = await let_in(self.settings, self._tls_context, self.pace.command)
            self._emails = 0
            _keep_in_step(self._client)
            self._used = time.monotonic()
        return self._client

    def _is_fresh(self) -> bool:
        is_connected = self._client is not None and self._client.is_connected
        is_young = self._emails < EMAILS_A_CONNECTION and time.monotonic() - self._used < IDLE_SECONDS
        return is_connected and is_young

    def _throw_away(self) -> None:
        if self._stage == outcomes.CONNECT:
            self.__dict__.pop("_tls_context", None)
        if self._client is not None:
            drop(self._client)
        self._client = None


async def hang_up(client: SMTP) -> None:
    """Drops a connection, and gives the event loop time to see it closed."""
    drop(client)
    await asyncio.sleep(0.01)


def drop(client: SMTP) -> None:
    """Closes a connection without a goodbye. TLS's own goodbye would keep it open until the server answers."""
    transport = cast(asyncio.WriteTransport | None, client.transport)
    client.close()
    if transport is not None:
        transport.abort()


async def let_in(
    settings: Settings, tls_context: ssl.SSLContext | None = None, patience: float = USUAL.command
) -> SMTP:
    """Connects and logs in at the first of the server's addresses that lets us, beginning with the one that did last.

    A server may take minutes for each answer, but an address has only a moment while there is another.
    """
    host, port, trusted = settings.mail_server, settings.mail_port, tls_context or _tls_context(settings)
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    found.sort(key=lambda each: each[4] != _answered.get((host, port)))
    tries = [(each, REACH_TIMEOUT if len(found) > 1 else None) for each in found]
    failed: Exception = OSError(f"{host} has no address")
    for address, moment in tries:
        try:
            sock = await _connected(address)
            if client := await _enter(settings, sock, trusted, patience, moment):
                _answered[host, port] = address[4]
                return client
            tries.append((address, None))
        except (OSError, aiosmtplib.SMTPConnectError) as error:
            # What a server said, or that it did not, is worth more than that none is there.
            failed = failed if isinstance(failed, aiosmtplib.SMTPException) else error
    raise failed


async def _connected(address: Address) -> socket.socket:
    sock = socket.socket(*address[:3])
    sock.setblocking(False)
    try:
        async with asyncio.timeout(REACH_TIMEOUT):
            await asyncio.get_running_loop().sock_connect(sock, address[4])
    except BaseException as error:
        sock.close()
        if isinstance(error, TimeoutError):
            raise TimeoutError(f"no answer at port {address[4][1]} in {REACH_TIMEOUT:.0f} s") from error
        raise
    return sock


async def _enter(
    settings: Settings, sock: socket.socket, trusted: ssl.SSLContext | None, patience: float, moment: float | None
) -> SMTP | None:
    """Encrypts and logs in as the settings say, never in plain text instead. None if the moment is over first."""
    client = SMTP(
        hostname=settings.mail_server,
        sock=sock,
        local_hostname=settings.helo,
        use_tls=settings.mail_use_ssl,
        start_tls=settings.mail_use_tls,
        timeout=patience,
        tls_context=trusted,
    )
    limit = asyncio.timeout(moment)
    try:
        async with limit:
            await client.connect()
            if settings.mail_username:
                await _log_in(client, settings)
    except BaseException as error:
        drop(client)
        if isinstance(error, TimeoutError) and limit.expired():
            return None
        raise
    return client


async def _log_in(client: SMTP, settings: Settings) -> None:
    """Logs in. If the server offers no way that we have, the error says what it offers."""
    await client.ehlo()
    offered = ", ".join(client.server_auth_methods).upper()
    if offered and not client.supported_auth_methods:
        raise aiosmtplib.SMTPNotSupported(f"it offers only {offered} to log in")
    await client.login(settings.mail_username, settings.mail_password)


def _keep_in_step(client: SMTP, unless: tuple[bytes, ...] = ()) -> None:
    """Refuses what the server says unasked, which would pass for its next answer, `unless` it begins with one of these.

    Raises SMTPResponseException.
    """
    unread = _unread(client)
    if unread and not unread.startswith(unless):
        raise aiosmtplib.SMTPResponseException(-1, f"more than one answer at once, {unread.decode('ascii', 'replace')}")


def _unread(client: SMTP) -> bytes:
    return bytes(client.protocol._buffer) if client.protocol else b""


async def name_recipient(client: SMTP, recipient: str, patience: float = USUAL.command) -> None:
    """RCPT. 252 means that the server can't verify the address but takes the email: a yes (RFC 5321, 4.2.2)."""
    try:
        await client.rcpt(recipient, timeout=patience)
    except aiosmtplib.SMTPRecipientRefused as answer:
        if not 200 <= answer.code < 300:
            raise


def _tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Trusts the machine's certificate authorities, or only those of MAIL_CA_FILE. Raises OSError."""
    if not (settings.mail_use_tls or settings.mail_use_ssl):
        return None
    try:
        return ssl.create_default_context(cafile=settings.mail_ca_file or None)
    except OSError as error:
        raise OSError(f"MAIL_CA_FILE can't be read ({error.strerror})") from error
