"""Reads environment variables by kind, and collects all problems instead of stopping at the first."""

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from email.utils import parseaddr
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import idna

from webapp.settings.problems import N_, Problem

Word = TypeVar("Word", bound=str)
# What may be in a file instead, which NAME_FILE names: environments are shown by `ps e`, containers' tools and crash
# reports.
SECRETS = (
    "SECRET_KEY",
    "SECRET_KEY_FALLBACKS",
    "DATABASE_URL",
    "MAIL_USERNAME",
    "MAIL_PASSWORD",
    "BOUNCE_KEY",
    "METRICS_KEY",
)
LONGEST_SECRET = 64 * 1024
LOCAL = r"(?a:[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*)"  # before the @ (RFC 5322, 3.2.3)
LONGEST_LOCAL = 64  # RFC 5321, 4.5.3.1.1
HOST = r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*"  # RFC 1035, 2.3.4
LONGEST_HOST = 253


class Environment:
    """`problems` has a sentence for each variable that can't be read. That variable gets its default."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.problems: list[Problem] = []
        self.variables = variables
        self._from_files = dict(self._read_files())

    def refuse(self, text: str, **values: Any) -> None:
        self.problems.append(Problem(text, **values))

    def _read_files(self) -> Iterator[tuple[str, str]]:
        """The secrets that are in files, without the line break that editors leave at the end."""
        for name in SECRETS:
            file = self.variables.get(f"{name}_FILE", "").strip()
            if file and self.variables.get(name):
                self.refuse(N_("%(name)s and %(name)s_FILE can't both be set."), name=name)
            elif file:
                yield name, self._content(f"{name}_FILE", file)

    def _content(self, name: str, file: str) -> str:
        try:
            with Path(file).open(encoding="utf-8") as opened:
                content = opened.read(LONGEST_SECRET + 1)
        except (OSError, ValueError) as error:
            words = getattr(error, "strerror", None) or "it is no text"
            self.refuse(N_("%(name)s can't be read: %(words)s."), name=name, words=words)
            return ""
        if len(content) > LONGEST_SECRET:
            self.refuse(N_("%(name)s names a file that is too long for a secret."), name=name)
        if not content.strip():
            self.refuse(N_("%(name)s names an empty file."), name=name)
        return content.rstrip("\r\n")

    def secret(self, name: str) -> str:
        """A secret exactly as it is: a space may begin or end a password."""
        value = self._from_files.get(name) or self.variables.get(name, "")
        readable = value.encode(errors="replace").decode()
        if readable != value:  # Python keeps bytes that are no UTF-8 as halves of characters (PEP 383)
            self.refuse(N_("%(name)s has characters that are not in UTF-8."), name=name)
        return readable

    def text(self, name: str) -> str:
        return self.secret(name).strip()

    def key(self, name: str) -> str:
        """A key that another program sends us, in a header or a form."""
        key = self.text(name)
        if key and not re.fullmatch("[ -~]+", key):
            self.refuse(N_("%(name)s may have letters, digits and signs of ASCII only."), name=name)
        elif key and (len(key) < 24 or len(set(key)) < 8):
            self.refuse(N_("%(name)s is too easy to guess: use 24 random characters or more."), name=name)
        return key

    def line(self, name: str, most: int) -> str:
        """A line of text for pages and for the headers of emails."""
        words = self.text(name)
        if not is_line(words) or len(words) > most or set(words) & {"<", ">"}:
            self.refuse(
                N_("%(name)s must be one line of at most %(most)s characters, without < and >."), name=name, most=most
            )
            return ""
        return words

    def listed(self, name: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in self.text(name).split(",") if part.strip())

    def flag(self, name: str, default: bool = False) -> bool:
        word = self.text(name).lower()
        if not word:
            return default
        if word not in {"0", "false", "no", "off", "1", "true", "yes", "on"}:
            self.refuse(N_("%(name)s is neither yes nor no; say 1 or 0."), name=name)
            return default
        return word in {"1", "true", "yes", "on"}

    def number(self, name: str, default: int, low: int, high: int) -> int:
        word = self.text(name)
        if not word:
            return default
        if not (re.fullmatch("[0-9]{1,9}", word) and low <= int(word) <= high):
            self.refuse(N_("%(name)s must be a whole number from %(low)s to %(high)s."), name=name, low=low, high=high)
            return default
        return int(word)

    def choice(self, name: str, *words: Word) -> Word:
        word = self.text(name).lower() or words[0]
        for known in words:
            if word == known:
                return known
        self.refuse(N_("%(name)s must be one of: %(choices)s."), name=name, choices=", ".join(words))
        return words[0]

    def mailbox(self, name: str, text: str) -> str:
        """`Name <name@example.com>` or just the address, with its domain in ASCII; "" if it is neither."""
        address = parseaddr(text)[1]
        local, _at, domain = address.rpartition("@")
        host = ascii_host(domain)
        is_whole = is_line(text) and (text == address or text.endswith(f"<{address}>"))
        if not (is_whole and len(local) <= LONGEST_LOCAL and re.fullmatch(LOCAL, local) and host):
            self.refuse(N_("%(name)s must look like name@example.com."), name=name)
            return ""
        before, _domain, after = text.rpartition(f"@{domain}")
        return f"{before}@{host}{after}"

    def mailboxes(self, name: str) -> tuple[str, ...]:
        """Each address once, however often it is named."""
        found: dict[str, str] = {}
        for text in self.listed(name):
            found.setdefault(parseaddr(text)[1].lower(), text)
        return tuple(self.mailbox(name, text) for text in found.values())

    def contact(self, name: str, addresses: Sequence[str]) -> str:
        """How to reach somebody, as a mailto: or https: URI; by default the first of the addresses."""
        uri = self.text(name)
        if not uri:
            address = parseaddr(next(iter(addresses), ""))[1]
            return f"mailto:{quote(address, safe='@+')}" if address else ""
        if not re.fullmatch(r"mailto:[!-~]+@[!-~]+|https://[!-~]+", uri):
            self.refuse(N_("%(name)s must look like mailto:name@example.com or https://example.com/page."), name=name)
        return uri


def is_line(text: str) -> bool:
    """Whether a text has no line break or control character. Joiners hold emoji and Persian words together."""
    return text.replace("\u200d", "").replace("\u200c", "").isprintable()


def ascii_host(host: str) -> str:
    """A host as DNS and browsers have it, `xn--…` for other scripts (RFC 5890); "" if no host can have that name.

    The dot that DNS may end it with is left out: nobody types it, and it would make another name of it.
    """
    try:
        name = host.lower() if host.isascii() else idna.encode(host, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        return ""
    name = name.removesuffix(".")
    is_name = re.fullmatch(HOST, name) and len(name) <= LONGEST_HOST
    return name if is_name or _is_ipv6(name) else ""


def _is_ipv6(name: str) -> bool:
    bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    try:
        return not ipaddress.IPv6Address(bare).scope_id
    except ValueError:
        return False
