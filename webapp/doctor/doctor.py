"""Everything that the site needs is checked, the cheapest first."""

from collections.abc import AsyncIterator

from webapp import temporary_files
from webapp.accounts.tokens import INVITE_LIFETIME
from webapp.doctor import sending, storage
from webapp.doctor.findings import FAILURE, OK, WARNING, Finding
from webapp.i18n import gettext as _
from webapp.i18n import ngettext
from webapp.settings import Settings


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """All findings. Nothing is sent: the conversation with the mail server ends at RCPT."""
    yield _base_url(settings)
    yield _proxies(settings)
    yield _passkeys(settings)
    yield _keys(settings)
    yield _temporary_files(settings.import_megabytes)
    async for finding in storage.examine(settings):
        yield finding
    async for finding in sending.examine(settings):
        yield finding
    if settings.sends_mail and settings.mailbox is None and not settings.admins:
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
    if settings.secret_key != settings.secret_key.strip() or "," in settings.secret_key:
        words = _(
            "it has a comma, or a space at an end, so SECRET_KEY_FALLBACKS can't hold it: a new key breaks its links"
        )
        return Finding(WARNING, "SECRET_KEY", words)
    return Finding(OK, "SECRET_KEY", _("long enough; keep it out of backups of the database"))


def _temporary_files(needed: int) -> Finding:
    subject = _("temporary files")
    try:
        folder, free_bytes = temporary_files.free_bytes()
    except temporary_files.NoRoom as error:
        return Finding(FAILURE, subject, str(error))
    free, words = free_bytes // 1_000_000, _("%(folder)s has %(free)s MB of room")
    if free < needed:
        words = _("%(folder)s has %(free)s MB of room, too little for an upload of %(needed)s MB (IMPORT_MEGABYTES)")
    verdict = WARNING if free < needed else OK
    return Finding(verdict, subject, words % {"folder": folder, "free": free, "needed": needed})


def links_work_for(settings: Settings) -> int:
    """How many days the longest links work, but for those that turn off an optional email."""
    return max(INVITE_LIFETIME.days, settings.account_deletion_days, settings.factor_removal_days + 1)
