"""The environment variables in one frozen object, and what no deployed site may have."""

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parseaddr, quote
from functools import cached_property, lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from webapp.settings import mail
from webapp.settings.problems import N_, Problem
from webapp.settings.variables import INSTANCE, LOOPBACK, PSEUDO, SITE_NAME, Variables

NOT_ME_HOURS = 72  # how long "this wasn't me" in an email works
DEVELOPMENT_HOST = "wilma@example.com"  # the admin of a development site, unless ADMINS says otherwise
# Set by platforms whose disk is ephemeral: Heroku, Cloud Run.
EPHEMERAL_PLATFORMS = ("DYNO", "K_SERVICE")
# What examples have in place of a key, or a platform that didn't fill it in.
_PLACEHOLDER = re.compile(r"\A(\$[{(]|\{\{)|change.?me", re.IGNORECASE)


class Misconfigured(Exception):
    """The site can't run with these variables; `problems` has a sentence for each reason."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = list(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))

    def said(self, gettext: Callable[[str], str]) -> str:
        """A line for each, in a catalogue's language."""
        return "\n".join(problem.said(gettext) for problem in self.problems)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the admin decides. docs/settings.md has the variables behind it."""

    site_name: str = SITE_NAME
    site_description: str = ""
    base_url: str
    secret_key: str = field(repr=False)
    secret_key_fallbacks: tuple[str, ...] = field(default=(), repr=False)
    database_url: str = field(repr=False)
    mail_server: str = ""
    mail_port: int = 25
    mail_use_tls: bool = False
    mail_use_ssl: bool = False
    mail_username: str = ""
    mail_password: str = field(default="", repr=False)
    mail_sender: str = ""
    mail_connections: int = 4
    mail_hourly_budget: int = 1000
    mail_helo: str = ""
    mail_local_domains: tuple[str, ...] = ()
    bounce_key: str = field(default="", repr=False)
    bounce_address: str = ""
    mail_ca_file: str = ""
    metrics_key: str = field(default="", repr=False)
    mailer: Literal["web", "process", "off"] = "web"
    admins: tuple[str, ...] = ()
    security_contact: str = ""
    registration: Literal["open", "invite", "approval", "domains", "closed"] = "open"
    registration_domains: tuple[str, ...] = ()
    registration_backlog: int = 50
    registration_least_seconds: int = 0
    member_invites: int = 0
    reset_token_minutes: int = 10
    password_min_length: int = 12
    account_deletion_days: int = 14
    factor_removal_days: int = 3
    admin_two_factors: bool = False
    posts_per_page: int = 20
    import_megabytes: int = 20
    public_profiles: bool = True
    trusted_proxies: int = 0
    log_format: Literal["json", "text"] = "json"
    languages: tuple[str, ...] = ("en", "ru")
    port: int = 8000
    web_concurrency: int = 1
    development: bool = False
    mailbox: Path | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Reads a deployed site's settings.

        Raises `Misconfigured` with every problem found, not just the first.
        """
        read = Variables(os.environ if environ is None else environ)
        settings = cls(
            **read.common(),
            **read.identity(),
            mailer=read.choice("MAILER", "web", "process", "off"),
            registration_least_seconds=read.least_seconds(2),
            port=read.number("PORT", 8000, 1, 65_535),
            web_concurrency=read.number("WEB_CONCURRENCY", 1, 1, 256),
        )
        _refuse_unsafe(read, settings)
        if read.problems:
            raise Misconfigured(read.problems)
        return settings

    @classmethod
    def for_development(cls, port: int, environ: Mapping[str, str] | None = None, instance: Path = INSTANCE) -> Self:
        """Settings for this machine alone: loopback, a key of its own, and emails into a mailbox page."""
        read = Variables(os.environ if environ is None else environ)
        instance.mkdir(parents=True, exist_ok=True)
        common = {"database_url": f"sqlite+aiosqlite:///{instance / 'development.db'}", **read.common()}
        settings = cls(
            **{**common, "admins": common["admins"] or (DEVELOPMENT_HOST,)},
            base_url=f"http://localhost:{port}",
            secret_key=_own_key(instance / "secret_key"),
            registration_least_seconds=read.least_seconds(0),
            development=True,
            mailbox=None if read.text("MAIL_SERVER") else instance / "mailbox",
        )
        if read.problems:
            raise Misconfigured(read.problems)
        return settings

    @cached_property
    def host(self) -> str:
        """The site's host name, without a port."""
        return urlsplit(self.base_url).hostname or ""

    @cached_property
    def is_https(self) -> bool:
        return self.base_url.startswith("https:")

    @cached_property
    def can_have_passkeys(self) -> bool:
        """Browsers allow passkeys only for host names, and beyond this machine only over TLS."""
        return not _is_address(self.host) and (self.is_https or self.host == "localhost")

    @property
    def sender(self) -> str:
        """The address that emails come from, possibly with a name, as people read it; a header encodes it."""
        domain = mail.greeting(self.host) if ":" in self.host else self.host  # an IPv6 address needs its brackets
        return self.mail_sender or f"{_phrase(self.site_name)} <no-reply@{domain}>"

    @cached_property
    def sender_address(self) -> str:
        """The same without the name."""
        return self.sender.rpartition("<")[2].removesuffix(">")

    @cached_property
    def admin_addresses(self) -> frozenset[str]:
        """The addresses of ADMINS, in the form that accounts have them."""
        return frozenset(parseaddr(admin)[1].lower() for admin in self.admins)

    @property
    def helo(self) -> str:
        """The name with which we greet the mail server."""
        return self.mail_helo or mail.greeting(self.host)

    @property
    def sends_mail(self) -> bool:
        return self.mailer != "off"

    def key(self, purpose: str) -> bytes:
        """The 32-byte key for one purpose, so that nothing signed for one passes for another."""
        return _derive(self.secret_key, purpose)

    def keys(self, purpose: str) -> list[bytes]:
        """The keys that still verify: the current one first, then the fallbacks."""
        return [_derive(secret, purpose) for secret in (self.secret_key, *self.secret_key_fallbacks)]

    def signing_keys(self, purpose: str) -> list[str]:
        """The same for itsdangerous, which signs with the last of its keys."""
        return [key.hex() for key in reversed(self.keys(purpose))]


@lru_cache(64)
def _derive(secret: str, purpose: str) -> bytes:
    return hmac.digest(secret.encode(), b"microblog." + purpose.encode(), hashlib.sha256)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _phrase(name: str) -> str:
    """A name for a header with addresses: quoted if it has characters of their grammar (RFC 5322, 3.2.3)."""
    return f'"{quote(name)}"' if set(name) & set('()<>[]:;@\\,."') else name


def _own_key(file: Path) -> str:
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(32))
    return file.read_text()


def _is_guessable(key: str) -> bool:
    """Whether a key is short, repeats itself, or stands in an example for the real one."""
    pieces = {key[place : place + 4] for place in range(len(key) - 3)}
    return len(key) < 32 or len(pieces) < 16 or _PLACEHOLDER.search(key) is not None


def _refuse_unsafe(read: Variables, settings: Settings) -> None:
    """What no deployed site may have, however its variables are spelled."""
    fallbacks = [("SECRET_KEY_FALLBACKS", key) for key in settings.secret_key_fallbacks]
    for name, key in [("SECRET_KEY", settings.secret_key), *fallbacks]:
        if not key:
            words = N_("%(name)s is missing; make one: python -c 'import secrets; print(secrets.token_hex(32))'")
            read.refuse(words, name=name)
        elif _is_guessable(key):
            read.refuse(N_("%(name)s is too easy to guess: use 32 random characters or more."), name=name)
    if PSEUDO in settings.languages:
        read.refuse(N_("LANGUAGES: there is no translation for '%(name)s'."), name=PSEUDO)
    if settings.sends_mail and not settings.mail_server:
        read.refuse(N_("MAIL_SERVER is missing (for a site that sends no mail at all, set MAILER=off)."))
    is_encrypted = settings.mail_use_tls or settings.mail_use_ssl
    if settings.sends_mail and settings.mail_server and not is_encrypted and settings.mail_server not in LOOPBACK:
        read.refuse(N_("MAIL_SERVER would be used without encryption: set MAIL_USE_TLS=1 (587) or MAIL_USE_SSL=1."))
    if settings.database_url.startswith("sqlite") and any(map(read.variables.get, EPHEMERAL_PLATFORMS)):
        read.refuse(N_("DATABASE_URL names SQLite, but this platform forgets its disk: use PostgreSQL."))
