"""What the doctor finds out about the mail server, the sender and its domain."""

from collections.abc import AsyncIterator
from email.utils import parseaddr

import aiosmtplib
import dns.asyncresolver
import dns.exception
import dns.resolver

from webapp.delivery.conversation import let_in, name_recipient
from webapp.doctor.findings import FAILURE, OK, WARNING, Finding
from webapp.i18n import gettext as _
from webapp.replies import advice
from webapp.settings import Settings

DNS_SECONDS = 4.0


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Can emails leave, and will they be believed?"""
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
