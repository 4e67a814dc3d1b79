"""What to check when the mail server refuses: a sentence for each way in which servers do."""

import aiosmtplib

from webapp.i18n import gettext as _
from webapp.replies import blame, outcomes
from webapp.replies.blame import GREYLISTED, Blame
from webapp.settings import Settings

PATIENCE = 30.0  # seconds for each answer, while somebody is watching


def words_of(error: Exception, *known: str) -> str:
    """What the server or the network said, with addresses masked."""
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return f"{error.code} {outcomes.said(error, *known)}"
    return outcomes.said(error, *known)


def encryption(settings: Settings) -> str:
    """How the connection is encrypted, in words."""
    if settings.mail_use_ssl:
        return _("implicit TLS")
    return "STARTTLS" if settings.mail_use_tls else _("no encryption")


def advice(settings: Settings, error: Exception) -> str:
    """What the admin should check."""
    if found := outcomes.certificate_error(error):
        return _of_certificate(settings, outcomes.why(found))
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return _("MAIL_USERNAME and MAIL_PASSWORD. Many providers want a password made for programs, not your own.")
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return _of_answer(settings, error)
    return _of_log_in(str(error)) or _of_connection(settings, error)


def _of_certificate(settings: Settings, why: str) -> str:
    if "another name" in why:
        words = _("%(why)s. MAIL_SERVER must be the name in the server's certificate, not %(server)s.")
        return words % {"why": why, "server": settings.mail_server}
    if "expired" in why or "not valid yet" in why:
        return _("%(why)s. The server needs a new certificate, or one of the two clocks is wrong.") % {"why": why}
    if "key usage" in why:
        words = _("%(why)s. The authority must issue it for servers, with keyUsage and basicConstraints set.")
        return words % {"why": why}
    if settings.mail_ca_file:
        return _("%(why)s. It was not issued by the authority in MAIL_CA_FILE.") % {"why": why}
    return _("%(why)s. If it is an authority of your own, name its certificate in MAIL_CA_FILE.") % {"why": why}


def _of_answer(settings: Settings, error: aiosmtplib.SMTPResponseException) -> str:
    text = error.message.lower()
    if GREYLISTED.search(text):
        return _(
            "nothing: the server greylists strangers. The site tries again in a few minutes, and then it gets through."
        )
    if error.code == 530 and ("starttls" in text or "tls" in text or "encrypt" in text):
        return _("MAIL_USE_TLS=1 is missing: the server takes emails only over an encrypted connection.")
    if error.code == 530 or "auth" in text or "log in" in text or "login" in text:
        return _("MAIL_USERNAME and MAIL_PASSWORD are missing, or not allowed to send: the server wants a log-in.")
    if "helo" in text or "ehlo" in text or "hostname" in text:
        words = _("MAIL_HELO: we greet as %(name)s. The server wants a full name that DNS knows, and its reverse.")
        return words % {"name": settings.helo}
    if "relay" in text:
        return _(
            "the server does not send for us to other domains: allow this machine there, or log in (MAIL_USERNAME)."
        )
    if "sender" in text or (error.code >= 500 and isinstance(error, aiosmtplib.SMTPSenderRefused)):
        words = _("MAIL_SENDER (%(sender)s) must be an address that this server lets you use.")
        return words % {"sender": settings.sender}
    if any(words in text for words in ("rate", "too many", "limit", "throttl")):
        return _("the server counts our emails: set MAIL_HOURLY_BUDGET to what it allows, or ask for more.")
    if 400 <= error.code < 500:
        return _("nothing yet: the server says that this is temporary. The site tries again by itself.")
    if blame.of_answer(error.code, error.message) is Blame.ADDRESS:
        return _("the address: the server says that nobody has it.")
    return _("the server's words above say what it did not like.")


def _of_log_in(text: str) -> str:
    if "AUTH extension is not supported" in text:
        return _(
            "MAIL_USERNAME is set, but the server offers no log-in here. Many offer it only over TLS, or on port 587;"
            " a server that knows this machine needs none: then leave MAIL_USERNAME and MAIL_PASSWORD out."
        )
    if "offers only" in text:
        return _(
            "that way to log in needs more than a password: ask for an app password, or another server for programs."
        )
    return ""


def _of_connection(settings: Settings, error: Exception) -> str:
    port, text = settings.mail_port, str(error).lower()
    if "starttls" in text:
        words = _("Port %(port)s has no STARTTLS. Try MAIL_PORT=587 with MAIL_USE_TLS=1, or 465 with MAIL_USE_SSL=1.")
        return words % {"port": port}
    if "ssl" in text or "wrong version" in text or (port == 465 and isinstance(error, TimeoutError)):
        return _("465 wants MAIL_USE_SSL=1 and 587 wants MAIL_USE_TLS=1; this looks like the other way round.")
    if "ready message" in text and not settings.mail_use_ssl:
        words = _(
            "port %(port)s takes connections and says nothing: it may want MAIL_USE_SSL=1, or be blocked on the way."
        )
        return words % {"port": port}
    if isinstance(error, TimeoutError):
        return _("port %(port)s seems blocked: many hosters block 25; ask yours, or try 587 or 465.") % {"port": port}
    if "name or service" in text or "getaddrinfo" in text or "nodename" in text:
        return _("MAIL_SERVER: no machine has this name.")
    if isinstance(error, aiosmtplib.SMTPConnectError) or not isinstance(error, aiosmtplib.SMTPException):
        words = _("is MAIL_SERVER right, and does it listen on port %(port)s? 587 (STARTTLS) and 465 (TLS) are usual.")
        return words % {"port": port}
    return _("the server's words above say what it did not like.")
