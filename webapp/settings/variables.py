"""The environment variables, and what each may contain."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from webapp.settings import database_url, mail
from webapp.settings.environment import Environment, ascii_host
from webapp.settings.problems import N_

SITE_NAME = "Microblog"
ROOT = Path(__file__).resolve().parents[2]
INSTANCE, TRANSLATIONS = ROOT / "instance", ROOT / "webapp" / "translations"
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
PSEUDO = "en-XA"  # what i18n.py shows developers


def spoken() -> set[str]:
    """The languages that the site has catalogues for."""
    return {"en", PSEUDO, *(folder.name for folder in TRANSLATIONS.glob("*/"))}


class Variables(Environment):
    """The variables of this site."""

    def common(self) -> dict[str, Any]:
        values: dict[str, Any] = {
            "site_name": self.line("SITE_NAME", 40) or SITE_NAME,
            "site_description": self.line("SITE_DESCRIPTION", 200),
            **mail.read(self),
            "admins": self.mailboxes("ADMINS"),
            "security_contact": self.contact("SECURITY_CONTACT", self.listed("ADMINS")),
            **self.registration(),
            "registration_backlog": self.number("REGISTRATION_BACKLOG", 50, 1, 1000),
            "member_invites": self.number("MEMBER_INVITES", 0, 0, 100),
            "reset_token_minutes": self.number("RESET_TOKEN_MINUTES", 10, 1, 60),
            "password_min_length": self.number("PASSWORD_MIN_LENGTH", 12, 8, 64),
            "account_deletion_days": self.number("ACCOUNT_DELETION_DAYS", 14, 1, 90),
            "factor_removal_days": self.number("FACTOR_REMOVAL_DAYS", 3, 1, 30),
            "admin_two_factors": self.flag("ADMIN_TWO_FACTORS"),
            "posts_per_page": self.number("POSTS_PER_PAGE", 20, 5, 100),
            "import_megabytes": self.number("IMPORT_MEGABYTES", 20, 1, 200),
            "public_profiles": self.flag("PUBLIC_PROFILES", default=True),
            "trusted_proxies": self.number("TRUSTED_PROXIES", 0, 0, 9),
            "metrics_key": self.key("METRICS_KEY"),
            "log_format": self.choice("LOG_FORMAT", "json", "text"),
            "languages": self.languages(),
        }
        pooler = self.choice("DATABASE_POOLER", "auto", "session", "transaction")
        if url := self.text("DATABASE_URL"):
            values["database_url"] = self.database(url, pooler)
        return values

    def least_seconds(self, usual: int) -> int:
        return self.number("REGISTRATION_LEAST_SECONDS", usual, 0, 30)

    def registration(self) -> dict[str, Any]:
        """Who may come in: one of five words, and behind one of them the domains whose addresses may."""
        word, _colon, listed = self.text("REGISTRATION").partition(":")
        if word.strip().lower() != "domains":
            return {"registration": self.choice("REGISTRATION", "open", "invite", "approval", "closed", "domains")}
        typed = [domain.strip().removeprefix("@") for domain in listed.split(",") if domain.strip()]
        domains = {domain: ascii_host(domain) for domain in typed}
        for name in [name for name, host in domains.items() if not host]:
            self.refuse(N_("REGISTRATION: no domain is called '%(name)s'."), name=name)
        if not typed:
            self.refuse(N_("REGISTRATION=domains: names no domain; write domains:example.org,example.com."))
        return {"registration": "domains", "registration_domains": tuple(domains.values())}

    def identity(self) -> dict[str, Any]:
        values: dict[str, Any] = {
            "base_url": self.base_url(),
            "secret_key": self.secret("SECRET_KEY"),
            "secret_key_fallbacks": self.listed("SECRET_KEY_FALLBACKS"),
        }
        if not self.text("DATABASE_URL"):
            values["database_url"] = f"sqlite+aiosqlite:///{INSTANCE / 'microblog.db'}"
        return values

    def languages(self) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(self.listed("LANGUAGES"))) or ("en", "ru")
        for name in [name for name in names if name not in spoken()]:
            self.refuse(N_("LANGUAGES: there is no translation for '%(name)s'."), name=name)
        return names

    def base_url(self) -> str:
        url = self.text("BASE_URL").rstrip("/")
        if not url:
            self.refuse(N_("BASE_URL is missing: the address that visitors type, such as https://example.com."))
            return ""
        try:
            parts = urlsplit(url)
            is_whole = (
                parts.scheme in {"http", "https"} and parts.hostname and url == f"{parts.scheme}://{parts.netloc}"
            )
            if not is_whole or "@" in parts.netloc or parts.port == 0:
                raise ValueError
        except ValueError:
            self.refuse(N_("BASE_URL must look like https://example.com, with no path after it."))
            return ""
        typed = parts.hostname or ""
        host = ascii_host(typed)
        if not host:
            self.refuse(N_("BASE_URL: no host can be called '%(typed)s'."), typed=typed)
        elif parts.scheme == "http" and host not in LOOPBACK:
            self.refuse(N_("BASE_URL must begin with https:// (http is for this machine alone)."))
        shown = f"[{host}]" if ":" in host else host
        is_usual = parts.port in {None, 443 if parts.scheme == "https" else 80}  # browsers leave that one out
        return f"{parts.scheme}://{shown}" if is_usual else f"{parts.scheme}://{shown}:{parts.port}"

    def database(self, url: str, pooler: str) -> str:
        """The URL as it is; whoever connects reads it (see `database_url`)."""
        if pooler != "auto" and not url.startswith("sqlite"):
            url = self._with_pooler(url, f"pgbouncer={'true' if pooler == 'transaction' else 'false'}")
        try:
            address, arguments = database_url.read(url)
        except ValueError as refused:
            self.problems.append(refused.args[0])
            return ""
        for file in [file for file in database_url.files(arguments) if not os.access(file, os.R_OK)]:
            self.refuse(N_("DATABASE_URL names %(file)s, which can't be read."), file=file)
        if not address.startswith("sqlite"):
            return url
        place = database_url.sqlite_file(address)
        if place is None or address.endswith(("/", ":memory:")):
            self.refuse(N_("DATABASE_URL names no file; one of SQLite's is sqlite:////absolute/path.db."))
            return ""
        # A relative path begins in the project's folder: each command finds the same file, wherever it runs.
        return f"sqlite+aiosqlite:///{ROOT / place}"

    def _with_pooler(self, url: str, said: str) -> str:
        if "pgbouncer=" not in url:
            return f"{url}{'&' if '?' in url else '?'}{said}"
        if said not in url:
            self.refuse(N_("DATABASE_POOLER and the pgbouncer= of DATABASE_URL contradict each other."))
        return url
