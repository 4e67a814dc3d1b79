"""A real SMTP server for tests: STARTTLS, a log-in, and answers that a test decides."""

import asyncio
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USERNAME, PASSWORD = "microblog", "the mail password"


def settings_for(port: int, **more: Any) -> dict[str, Any]:
    """The settings with which a site logs in to a mail server of this machine: by STARTTLS, unless told otherwise."""
    login = {"mail_username": USERNAME, "mail_password": PASSWORD}
    return {"mailbox": None, "mail_server": "localhost", "mail_port": port, "mail_use_tls": True, **login, **more}


def environment_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """The same as environment variables."""
    said = {name: int(value) if isinstance(value, bool) else value for name, value in settings.items()}
    return {name.upper(): str(value) for name, value in said.items() if name.startswith("mail_")}


class Certificates:
    """An authority that the test trusts, and certificates for the right and the wrong name."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.authority = folder / "authority.pem"
        authority.cert_pem.write_to_path(self.authority)
        self.right = _context(authority.issue_cert("localhost"))
        self.wrong_name = _context(authority.issue_cert("another.example"))
        self.unknown = _context(trustme.CA().issue_cert("localhost"))


def _context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@dataclass(frozen=True)
class Delivered:
    """An email as it came over the wire."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes

    @property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.content, policy=default)

    @property
    def text(self) -> str:
        part = self.message.get_body(("plain",))
        assert part is not None
        return str(part.get_content()).replace("\r\n", "\n")


class MailServer:
    """`answers` maps MAIL, RCPT, DATA and AUTH to what to say instead of 250; `emails` are those accepted."""

    def __init__(self, certificates: Certificates, *, tls: str = "right", is_encrypted: bool = True) -> None:
        self.emails: list[Delivered] = []
        self.answers: dict[str, str] = {}
        self.logins = 0
        self._lock = threading.Lock()
        self._sessions: list[SMTP] = []
        options: dict[str, Any] = {}
        if is_encrypted:
            options = {
                "tls_context": getattr(certificates, tls),
                "require_starttls": True,
                "auth_required": True,
                "auth_require_tls": True,
                "authenticator": self._authenticate,
            }
        self._controller = _AnyPort(self, hostname="localhost", port=0, **options)

    def __enter__(self) -> "MailServer":
        self._controller.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.hang_up()  # else Python 3.11 leaves connections open that nobody closes
        time.sleep(0.02)  # they close after the next turn of the loop
        self._controller.stop()

    @property
    def port(self) -> int:
        return int(self._controller.port)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings with which a site reaches this server."""
        return settings_for(self.port)

    @property
    def environment(self) -> dict[str, str]:
        """The same as environment variables."""
        return environment_of(self.settings)

    def hang_up(self) -> None:
        """Ends all open connections, as the server's restart would."""
        for session in list(self._sessions):
            if isinstance(session.transport, asyncio.Transport):
                session.loop.call_soon_threadsafe(session.transport.abort)

    def wait_for(self, count: int, patience: float = 30.0) -> list[Delivered]:
        """The emails, once there are at least `count`."""
        deadline = time.monotonic() + patience
        while len(self.emails) < count:
            assert time.monotonic() < deadline, f"{len(self.emails)} of {count} emails arrived"
            time.sleep(0.01)
        return list(self.emails)

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        is_right = (data.login, data.password) == (USERNAME.encode(), PASSWORD.encode())
        self.logins += is_right
        return AuthResult(success=is_right and "AUTH" not in self.answers, handled=False)

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if answer := self.answers.get("MAIL"):
            return answer
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if answer := self.answers.get("RCPT"):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if answer := self.answers.get("DATA"):
            return answer
        assert isinstance(envelope.content, bytes)
        with self._lock:
            email = Delivered(envelope.mail_from or "", tuple(envelope.rcpt_tos), envelope.content)
            self.emails.append(email)
        return "250 OK"


class _AnyPort(Controller):
    def factory(self) -> SMTP:
        session: SMTP = super().factory()  # type: ignore[no-untyped-call]
        self.handler._sessions.append(session)
        return session

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]
