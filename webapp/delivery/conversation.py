"""The steps of an SMTP conversation: being let in, naming a recipient, the email, hanging up (RFC 5321, RFC 3207)."""

import asyncio
import re
import socket
import ssl
from typing import Any, cast

import aiosmtplib
from aiosmtplib import SMTP, SMTPStatus

from webapp.delivery.pace import USUAL
from webapp.settings import Settings

Address = tuple[int, int, int, str, tuple[Any, ...]]  # as getaddrinfo has it
REACH_TIMEOUT = 20.0  # for the network, and for a server that has another address
_LINE_END, _DOT = re.compile(rb"\r\n|\r|\n"), re.compile(rb"(?m)^\.")
_answered: dict[tuple[str, int], object] = {}  # the address of each mail server that was last reached


async def let_in(
    settings: Settings, tls_context: ssl.SSLContext | None = None, patience: float = USUAL.command
) -> SMTP:
    """Connects and logs in at the first of the server's addresses that lets us, beginning with the one that did last.

    A server may take minutes for each answer, but an address has only a moment while there is another.
    """
    host, port, trusted = settings.mail_server, settings.mail_port, tls_context or trust(settings)
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
            # A server that refuses or stays silent says more than an address where there is none.
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
    """Logs in by the first way that the server takes. If it offers none that we have, the error says what it offers.

    A server that hangs up after its refusal has refused us, though `login` would only say that it is gone.
    """
    await client.ehlo()
    offered = ", ".join(client.server_auth_methods).upper()
    if offered and not client.supported_auth_methods:
        raise aiosmtplib.SMTPNotSupported(f"it offers only {offered} to log in")
    if not offered:
        await client.login(settings.mail_username, settings.mail_password)  # raises, with a reason
    refusal: aiosmtplib.SMTPAuthenticationError | None = None
    for name in client.supported_auth_methods:
        try:
            await getattr(client, f"auth_{name.replace('-', '')}")(settings.mail_username, settings.mail_password)
            return
        except aiosmtplib.SMTPAuthenticationError as answer:
            refusal = answer
        except aiosmtplib.SMTPServerDisconnected as gone:
            raise refusal or gone from None
    assert refusal
    raise refusal


def trust(settings: Settings) -> ssl.SSLContext | None:
    """Trusts the machine's certificate authorities, or only those of MAIL_CA_FILE. Raises OSError."""
    if not (settings.mail_use_tls or settings.mail_use_ssl):
        return None
    try:
        return ssl.create_default_context(cafile=settings.mail_ca_file or None)
    except OSError as error:
        raise OSError(f"MAIL_CA_FILE can't be read ({error.strerror})") from error


async def name_recipient(client: SMTP, recipient: str, patience: float = USUAL.command) -> None:
    """RCPT. 252 means that the server can't verify the address but takes the email: a yes (RFC 5321, 4.2.2)."""
    try:
        await client.rcpt(recipient, timeout=patience)
    except aiosmtplib.SMTPRecipientRefused as answer:
        if not 200 <= answer.code < 300:
            raise


async def announce_email(client: SMTP, patience: float) -> None:
    """DATA alone. aiosmtplib would wait for its answer as long as for that to the email."""
    answer = await client.execute_command(b"DATA", timeout=patience)
    if answer.code != SMTPStatus.start_input:
        raise aiosmtplib.SMTPDataError(answer.code, answer.message)


async def hand_over(client: SMTP, message: bytes, patience: float) -> None:
    """The email, in which no line end and no dot ends it too early (RFC 5321, 2.3.8 and 4.5.2), and the answer."""
    if client.protocol is None:
        raise aiosmtplib.SMTPServerDisconnected("Connection lost")
    lines = _LINE_END.sub(b"\r\n", message if message.endswith((b"\r", b"\n")) else message + b"\n")
    client.protocol.write(_DOT.sub(b"..", lines) + b".\r\n")
    answer = await client.protocol.read_response(timeout=patience)
    if answer.code != SMTPStatus.completed:
        raise aiosmtplib.SMTPDataError(answer.code, answer.message)


def keep_in_step(client: SMTP, unless: tuple[bytes, ...] = ()) -> None:
    """Refuses what the server says unasked, which would pass for its next answer, `unless` it begins with one of these.

    Raises SMTPResponseException.
    """
    said = unread(client)
    if said and not said.startswith(unless):
        raise aiosmtplib.SMTPResponseException(-1, f"more than one answer at once, {said.decode('ascii', 'replace')}")


def unread(client: SMTP) -> bytes:
    return bytes(client.protocol._buffer) if client.protocol else b""


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
