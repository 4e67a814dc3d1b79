"""What is wrong with an email, in words. The gallery and the tests use the same checks."""

import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from urllib.parse import urlsplit

from webapp.i18n import gettext as _
from webapp.settings import Settings

NEEDED = ("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version")
LONGEST_LINE = 998  # bytes, RFC 5322, 2.1.1
LINK = re.compile(r"https?://[^\s\"'<>]+")
TWO_STOPS = re.compile(r"(?<!\.)\.\.(?!\.)")  # as after a Russian date, which ends in one


def problems(source: bytes, settings: Settings) -> list[str]:
    """What is wrong with an email as it is sent; an empty list if nothing is."""
    message = message_from_bytes(source, policy=default)
    found = [_("The header %(name)s is missing.") % {"name": name} for name in NEEDED if message[name] is None]
    found += [str(defect) for part in message.walk() for defect in part.defects]
    if any(len(line) > LONGEST_LINE for line in source.split(b"\r\n")):
        found.append(_("A line is longer than %(bytes)s bytes.") % {"bytes": LONGEST_LINE})
    if any(part.get("Content-Transfer-Encoding") == "quoted-printable" for part in message.walk()):
        found.append(_("A part is quoted-printable, which breaks long links."))
    text, html = _part(message, "plain"), _part(message, "html")
    if text is None:
        return [*found, _("There is no text part.")]
    if TWO_STOPS.search(text):
        found.append(_("A sentence ends in two full stops."))
    return [*found, *_link_problems(text, html, settings), *_html_problems(html)]


def _part(message: EmailMessage, subtype: str) -> str | None:
    part = message.get_body((subtype,))
    return str(part.get_content()).replace("\r\n", "\n") if part else None


def _link_problems(text: str, html: str | None, settings: Settings) -> list[str]:
    found = []
    own_host = urlsplit(settings.base_url).netloc
    main_links = [link for link in LINK.findall(text) if urlsplit(link).path.strip("/")]
    for link in main_links:
        if not re.search(rf"^{re.escape(link)}$", text, re.MULTILINE):
            found.append(_("A link is not alone on its line: %(link)s") % {"link": link})
        if urlsplit(link).netloc != own_host:
            found.append(_("A link leads to another host: %(link)s") % {"link": link})
        if html is not None and link not in html:
            found.append(_("The HTML does not have the link of the text: %(link)s") % {"link": link})
    return found


def _html_problems(html: str | None) -> list[str]:
    if html is None:
        return []
    found = []
    if re.search(r"<(img|link|script|iframe)\b|url\(|@import", html, re.IGNORECASE):
        found.append(_("The HTML loads something from outside, or runs a script."))
    if not re.search(r"<html[^>]* lang=", html):
        found.append(_("The HTML does not say its language."))
    return found
