"""Is the site set up right? Everything that it needs is checked, and the answers are in words."""

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.utils import parseaddr

import aiosmtplib
import dns.asyncresolver
import dns.exception
import dns.resolver
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import temporary_files
from webapp.accounts.tokens import INVITE_LIFETIME
from webapp.database import Database, execute, migrations, refusals
from webapp.delivery.conversation import let_in, name_recipient
from webapp.factors import methods
from webapp.i18n import gettext as _
from webapp.i18n import ngettext
from webapp.mail import status
from webapp.operator import mail_status
from webapp.replies import advice
from webapp.settings import Settings

DNS_SECONDS = 4.0
# Before it, write-ahead logging could lose data when several connections write and checkpoint at once.
SOUND_SQLITE = (3, 51, 3)

OK, WARNING, FAILURE = "OK", "WARNING", "FAILURE"


@dataclass(frozen=True)
class Finding:
    """One answer. Unless it is OK, its `words` say what to do."""

    verdict: str
    subject: str
    words: str

    def __str__(self) -> str:
        return f"{self.verdict:8}{self.subject}: {self.words}"


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """All findings, the cheapest first. Nothing is sent: the conversation with the mail server ends at RCPT."""
    yield _base_url(settings)
    yield _proxies(settings)
    yield _passkeys(settings)
    yield _keys(settings)
    yield _temporary_files()
    async for finding in _database(settings):
        yield finding
    if not settings.sends_mail:
        yield Finding(WARNING, _("mail"), _("MAILER=off: people without a password need `reset-link` from you"))
        return
    if settings.mailbox is not None:
        yield Finding(OK, _("mail"), _("development: emails go to the mailbox page"))
        return
    yield await _mail_server(settings)
    async for finding in _sender(settings):
        yield finding
    if settings.mail_local_domains:
        words = _("%(domains)s; the mail server must know where their emails go")
        yield Finding(OK, "MAIL_LOCAL_DOMAINS", words % {"domains": ", ".join(settings.mail_local_domains)})
    if not settings.admins:
        yield Finding(WARNING, "ADMINS", _("nobody is told of errors; set it to your address"))


def _base_url(settings: Settings) -> Finding:
    if not settings.is_https:
        return Finding(WARNING, "BASE_URL", _("%(url)s is for this machine alone") % {"url": settings.base_url})
    return Finding(OK, "BASE_URL", settings.base_url)


def _proxies(settings: Settings) -> Finding:
    """The site itself speaks no TLS, so an https address means there is a proxy that does."""
    hops = settings.trusted_proxies
    if settings.is_https and not hops:
        words = _("0, but https means a proxy is in front, so all visitors look like one; say how many proxies")
        return Finding(WARNING, "TRUSTED_PROXIES", words)
    if hops and not settings.is_https:
        words = _("%(hops)s, but no proxy is needed for %(url)s: visitors can claim any IP address")
        return Finding(WARNING, "TRUSTED_PROXIES", words % {"hops": hops, "url": settings.base_url})
    if not hops:
        return Finding(OK, "TRUSTED_PROXIES", _("0: visitors come straight to the site"))
    words = _("%(hops)s; each must add to X-Forwarded-For, or set it")
    return Finding(OK, "TRUSTED_PROXIES", words % {"hops": hops})


def _passkeys(settings: Settings) -> Finding:
    """Passkeys are tied to the host's name for ever."""
    host = {"host": settings.host}
    if settings.can_have_passkeys:
        words = _("tied to the name %(host)s: with another host in BASE_URL nobody's passkey works any more")
        return Finding(OK, _("passkeys"), words % host)
    words = _("off: browsers allow none for %(host)s, only for a name (not an IP address) with https, or for localhost")
    return Finding(WARNING, _("passkeys"), words % host)


def _keys(settings: Settings) -> Finding:
    if older := len(settings.secret_key_fallbacks):
        words = ngettext(
            "%(count)s older still opens links: empty it %(days)s days after the change",
            "%(count)s older still open links: empty it %(days)s days after the change",
            older,
        )
        return Finding(WARNING, "SECRET_KEY_FALLBACKS", words % {"count": older, "days": links_work_for(settings)})
    return Finding(OK, "SECRET_KEY", _("long enough; keep it out of backups of the database"))


def _temporary_files() -> Finding:
    subject = _("temporary files")
    try:
        folder, free = temporary_files.free_bytes()
    except temporary_files.NoRoom as error:
        return Finding(FAILURE, subject, str(error))
    return Finding(OK, subject, _("%(folder)s has %(free)s MB of room") % {"folder": folder, "free": free // 1_000_000})


def links_work_for(settings: Settings) -> int:
    """How many days the longest links work, but for those that turn off an optional email."""
    return max(INVITE_LIFETIME.days, settings.account_deletion_days, settings.factor_removal_days + 1)


def _sealed_before(waiting: int) -> Finding:
    words = ngettext(
        "%(count)s secret of an authenticator app is sealed with an older key: keep that a fallback for now",
        "%(count)s secrets of authenticator apps are sealed with an older key: keep that a fallback for now",
        waiting,
    )
    return Finding(WARNING, "SECRET_KEY", words % {"count": waiting})


async def _admins_factors(settings: Settings, db: AsyncSession) -> Finding:
    """Says why an admin's pages stay closed. Nothing else does until that admin tries."""
    subject = "ADMIN_TWO_FACTORS"
    if not settings.admins:
        return Finding(WARNING, subject, _("it asks nobody for a second step, since ADMINS names nobody"))
    if lacking := await methods.lacking(db, settings.admin_addresses):
        words = _("no second step yet, so the admin pages stay closed to %(who)s: an authenticator app opens them")
        return Finding(WARNING, subject, words % {"who": ", ".join(lacking)})
    return Finding(OK, subject, _("every admin with an account here has a second step"))


async def _database(settings: Settings) -> AsyncIterator[Finding]:
    database = Database(settings.database_url)
    try:
        async with database.session() as db:
            version = "SELECT sqlite_version()" if database.is_sqlite else "SHOW server_version"
            number = (await execute(db, text(version))).scalar_one()
            name = "SQLite" if database.is_sqlite else "PostgreSQL"
            if database.is_sqlite and sqlite3.sqlite_version_info < SOUND_SQLITE:
                words = _("SQLite %(version)s: before 3.51.3 it has a rare bug with several processes")
                yield Finding(WARNING, _("database"), words % {"version": number})
            else:
                yield Finding(OK, _("database"), f"{name} {number}")
            if not database.is_sqlite:
                yield await _durability(db)
            there = (await execute(db, text("SELECT version_num FROM alembic_version"))).scalar_one()
            newest = migrations.newest()
            if there == newest:
                yield Finding(OK, _("migrations"), _("at %(version)s, the newest") % {"version": there})
                if waiting := await methods.waiting_for_reseal(db, settings):
                    yield _sealed_before(waiting)
                if settings.sends_mail:
                    yield await _leaving(settings, db)
                if settings.admin_two_factors:
                    yield await _admins_factors(settings, db)
            else:
                words = _("at %(version)s, not %(newest)s: run `python -m webapp migrate`")
                yield Finding(FAILURE, _("migrations"), words % {"version": there, "newest": newest})
        await database.try_write()
        yield Finding(OK, _("writing"), _("the database can be written to"))
    except (SQLAlchemyError, OSError) as error:
        yield Finding(FAILURE, _("database"), f"{refusals.in_words(error)}. {refusals.what_to_check(error)}")
    finally:
        await database.close()


async def _leaving(settings: Settings, db: AsyncSession) -> Finding:
    state = await status.read(db)
    return Finding(OK if mail_status.is_well(state) else WARNING, _("mail"), mail_status.sentence(state, settings))


async def _durability(db: AsyncSession) -> Finding:
    """Whether PostgreSQL flushes before it answers: without that, what the site has confirmed can be gone."""
    subject, names = _("durability"), ("fsync", "full_page_writes", "synchronous_commit")
    query = text("SELECT name FROM pg_settings WHERE name = ANY(:names) AND setting = 'off' ORDER BY name")
    off = (await execute(db, query, {"names": list(names)})).scalars().all()
    if not off:
        return Finding(OK, subject, _("what the site has confirmed survives a power cut"))
    words = _("%(settings)s off: a power cut can take back what the site has confirmed")
    return Finding(WARNING, subject, words % {"settings": ", ".join(off)})


async def _mail_server(settings: Settings) -> Finding:
    """Connects, encrypts, logs in, names a sender and a recipient, and hangs up."""
    subject = f"{settings.mail_server}:{settings.mail_port}"
    sender = settings.sender_address
    try:
        async with await let_in(settings, patience=advice.PATIENCE) as client:
            await client.mail(sender)
            await name_recipient(client, parseaddr(settings.admins[0])[1] if settings.admins else sender)
            await client.rset()
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        words = _("%(reason)s. Check: %(advice)s")
        said = {"reason": advice.words_of(error).rstrip("."), "advice": advice.advice(settings, error)}
        return Finding(FAILURE, subject, words % said)
    words = _("%(how)s; it takes emails from %(sender)s")
    if settings.mail_username:
        words = _("%(how)s, logged in as %(username)s; it takes emails from %(sender)s")
    found = {"how": advice.encryption(settings), "username": settings.mail_username, "sender": sender}
    return Finding(OK, subject, words % found)


async def _sender(settings: Settings) -> AsyncIterator[Finding]:
    domain = settings.sender_address.rpartition("@")[2]
    if domain != settings.host and not settings.host.endswith(f".{domain}"):
        yield Finding(
            WARNING, "MAIL_SENDER", _("%(domain)s is not the site's domain: readers trust it less") % {"domain": domain}
        )
    else:
        yield Finding(OK, "MAIL_SENDER", settings.sender)
    spf = await _txt(domain)
    if spf is None:
        yield Finding(
            WARNING, "SPF, DMARC", _("DNS did not answer for %(domain)s; ask it yourself") % {"domain": domain}
        )
        return
    has_spf = any(record.startswith("v=spf1") for record in spf)
    has_dmarc = any(record.startswith("v=DMARC1") for record in await _txt(f"_dmarc.{domain}") or [])
    for name, is_there in (("SPF", has_spf), ("DMARC", has_dmarc)):
        words = _("%(domain)s has a record") if is_there else _("%(domain)s has no record: emails may land in spam")
        yield Finding(OK if is_there else WARNING, name, words % {"domain": domain})
    yield Finding(WARNING, "DKIM", _("can't be checked from here: the mail server signs, with a selector of its own"))


async def _txt(name: str) -> list[str] | None:
    """A name's TXT records; an empty list if there are none, None if DNS doesn't answer."""
    try:
        answer = await dns.asyncresolver.resolve(name, "TXT", lifetime=DNS_SECONDS)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except (dns.exception.DNSException, OSError):
        return None
    return [b"".join(record.strings).decode(errors="replace") for record in answer]
