"""Header lines in any script: encoded words (RFC 2047) that never touch, are never too long, and decode exactly.

`EmailMessage` folds them wrongly: it loses spaces on Python 3.11 and 3.12, and lets words touch on 3.13. This needs
only the standard library's base64, and works the same on all of them.
"""

import base64
from collections.abc import Iterator
from email.utils import getaddresses

from webapp.settings.environment import is_line

LINE = 76  # characters in a line with an encoded word (RFC 2047, 2)
OPENING, CLOSING = "=?utf-8?b?", "?="
MOST_BYTES = 45  # of text in an encoded word of at most 75 characters
LONG = 900  # characters in a line of plain text; RFC 5322 allows 998
ADDRESSES = {"from", "to", "cc", "reply-to", "sender"}


def line(name: str, value: str) -> str:
    """A whole header, possibly folded, without the final line break.

    Raises ValueError for a name or value with a line break or control character.
    """
    if not is_line(value) or not (name.isascii() and name.isprintable() and name) or set(" :") & set(name):
        raise ValueError("a header can't have a line break or a control character in it")
    if name.lower() in ADDRESSES:
        return f"{name}: {_mailboxes(name, value)}".replace(": \r\n", ":\r\n", 1)
    return f"{name}: {value if _is_plain(value) else _encoded(value, len(name) + 2)}"


def _mailboxes(name: str, value: str) -> str:
    """Names and addresses, each on its own line if there are several."""
    found = [(words, address) for words, address in getaddresses([value]) if address]
    shown = [
        _mailbox(words, address, len(name) + 2 if not number else 1) for number, (words, address) in enumerate(found)
    ]
    if not shown:
        raise ValueError(f"{name} has no address in it")
    return ",\r\n ".join(shown)


def _mailbox(words: str, address: str, used: int) -> str:
    if not words:
        return address
    if _is_plain(words):
        escaped = words.replace("\\", r"\\").replace('"', r"\"")
        return f'"{escaped}" <{address}>' if set(words) & set('()<>@,:;".[]\\') else f"{words} <{address}>"
    # Python's own reader puts a space between two words of a name, so one that fits into a word gets a whole line.
    is_one_word = used > 1 and len(words.encode("utf-8", "replace")) <= MOST_BYTES
    name = f"\r\n {_encoded(words, 1)}" if is_one_word else _encoded(words, used)
    return f"{name}\r\n <{address}>"


def _is_plain(text: str) -> bool:
    """Whether a text can be sent as it is. What looks like an encoded word would be decoded, so it can't."""
    return text.isascii() and "=?" not in text and len(text) <= LONG and text == " ".join(text.split())


def _encoded(text: str, used: int) -> str:
    """Encoded words, one per line; `used` characters of the first line are taken."""
    return "\r\n ".join(_words(text, used))


def _words(text: str, used: int) -> Iterator[str]:
    room = min(MOST_BYTES, (LINE - used - len(OPENING + CLOSING)) // 4 * 3)
    piece = b""
    for character in text:
        more = character.encode("utf-8", "replace")
        if len(piece) + len(more) > max(room, 4):
            yield _word(piece)
            piece, room = b"", MOST_BYTES
        piece += more
    yield _word(piece)


def _word(piece: bytes) -> str:
    return f"{OPENING}{base64.b64encode(piece).decode()}{CLOSING}"
