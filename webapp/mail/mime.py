"""Writes an email: two templates become the bytes of one message (RFC 5322), whose text and HTML say the same."""

import re
import uuid
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from itertools import takewhile
from typing import Self

from jinja2 import Environment

from webapp import i18n as languages
from webapp.database import now
from webapp.i18n import ngettext
from webapp.mail import headers
from webapp.mail.kinds import Draft
from webapp.mail.models import Claimed
from webapp.settings import Settings

# What these providers repeat in their events, by the end of their servers' names. Their events don't say when an email
# was sent (Postmark's manual, "Custom metadata"; Mailgun's, "Attaching data to messages").
_REPEATED = {
    "postmarkapp.com": ("X-PM-Metadata-sent", "{}"),
    "mailgun.org": ("X-Mailgun-Variables", '{{"sent": "{}"}}'),
}
_SPACES = re.compile(r"[ \n]+")
_LINK = re.compile(r"^(https?://\S+)$", re.MULTILINE)
_QUOTED = re.compile(r"^(\S+)\n\n((?: {4}.*\n)+)", re.MULTILINE)  # as in templates/email/_parts.txt


@dataclass(frozen=True)
class Repeats:
    """How often the thing happened that a notice is about, and between which times, in UTC."""

    times: int
    since: str
    until: str

    @classmethod
    def of(cls, email: Claimed) -> Self | None:
        told = email.parameters
        if told.get("count", 1) < 2:
            return None
        return cls(told["count"], *(f"{datetime.fromisoformat(told[name]):%H:%M}" for name in ("since", "until")))

    def counted(self, subject: str) -> str:
        words = ngettext("%(subject)s (%(times)s time)", "%(subject)s (%(times)s times)", self.times)
        return words % {"subject": subject, "times": self.times}


def compose(templates: Environment, settings: Settings, email: Claimed, draft: Draft) -> bytes:
    """The email's bytes as they are sent (RFC 5322). Text and HTML say the same."""
    language = draft.language or email.language
    named = {
        "Date": format_datetime(now()),
        "Message-ID": email.message_id,
        "Auto-Submitted": "auto-generated",  # RFC 3834: asks for no out-of-office replies
        "Content-Language": language,
        **_for_provider(settings),
    }
    if link := draft.values.get("unsubscribe_link"):
        named |= {"List-Unsubscribe": f"<{link}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    if draft.message is not None:
        return written({"From": settings.sender, "To": draft.recipient} | draft.headers | named, draft.message)
    with languages.use(language, is_typeset=True):
        text = templates.get_template(f"email/{draft.template}.txt")
        html = templates.get_template(f"email/{draft.template}.html")
        repeats = Repeats.of(email)
        values = {**draft.values, "language": language, "repeats": repeats}
        heading = _SPACES.sub(" ", "".join(text.blocks["subject"](text.new_context(values)))).strip()
        heading = repeats.counted(heading) if repeats else heading
        plain = text.render(values)
        seen = {"subject": heading, "preheader": _preheader(plain), "links": _links(plain, settings)}
        rich = html.render(values | seen)
    subject = " ".join(heading.split())  # with ordinary spaces
    named = {"From": settings.sender, "To": draft.recipient, "Subject": subject} | named
    if _is_plain(plain, rich):
        return _assemble(named, plain, rich)
    message = EmailMessage(policy=SMTP)
    add_parts(message, plain, rich)
    return written(named, message)


def _for_provider(settings: Settings) -> dict[str, str]:
    """A header that tells `/bounces` when an email was sent that comes back."""
    for domain, (name, value) in _REPEATED.items():
        if settings.bounce_key and settings.mail_server.lower().endswith(f".{domain}"):
            return {name: value.format(now().isoformat(timespec="milliseconds"))}
    return {}


def _links(text: str, settings: Settings) -> list[str]:
    """The links that stand alone on their line, each once. The site's own address may do so by chance."""
    return [link for link in dict.fromkeys(_LINK.findall(text)) if link != settings.base_url]


def _preheader(text: str) -> str:
    """What mail programs show beside the subject: the words after the greeting, and what follows a colon but a link.

    Where somebody is quoted, their words say more than ours do.
    """
    if quoted := _QUOTED.search(text):
        return ": ".join(" ".join(words.split()) for words in quoted.groups())
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n") if paragraph.strip()]
    first, *more = paragraphs[1:4] or [""]
    if not first.endswith(":"):
        return first
    led_to = list(takewhile(lambda paragraph: not (_LINK.fullmatch(paragraph) or paragraph.endswith(":")), more))
    return " ".join([first, *led_to]) if led_to else f"{first[:-1]}."


def add_parts(message: EmailMessage, text: str, html: str | None) -> None:
    """Adds the text and the HTML without breaking any link.

    Quoted-printable would fold links after 76 characters, and some mail programs show them that way.
    """
    message.set_content(text, cte="7bit" if _is_plain(text) else "base64")
    if html is not None:
        message.add_alternative(html, subtype="html", cte="7bit" if _is_plain(html) else "base64")


def written(named: dict[str, str], content: EmailMessage) -> bytes:
    """The bytes of a message: its headers, its content, and the headers that describe the content."""
    return "".join(f"{headers.line(name, value)}\r\n" for name, value in named.items()).encode() + content.as_bytes()


def _is_plain(*texts: str) -> bool:
    """Whether texts can be sent as they are: ASCII, with no line over RFC 5322's 998 bytes."""
    return all(text.isascii() and all(len(line) <= 998 for line in text.splitlines()) for text in texts)


def _assemble(named: dict[str, str], text: str, html: str) -> bytes:
    """What EmailMessage makes of plain ASCII, twenty times as fast."""
    boundary = f"=={uuid.uuid4().hex}=="
    lines = [headers.line(name, value) for name, value in named.items()]
    lines += ["MIME-Version: 1.0", f'Content-Type: multipart/alternative; boundary="{boundary}"', ""]
    for subtype, content in (("plain", text), ("html", html)):
        lines += [f"--{boundary}", f'Content-Type: text/{subtype}; charset="utf-8"', "Content-Transfer-Encoding: 7bit"]
        lines += ["", *content.replace("\r\n", "\n").split("\n")]
    lines += [f"--{boundary}--", ""]
    return "\r\n".join(lines).encode("ascii")
