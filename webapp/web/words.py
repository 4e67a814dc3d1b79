"""Words that people write for others to read: what they may hold, and how an email quotes them."""

import regex

from webapp.i18n import gettext as _
from webapp.i18n import ngettext

MOST_MARKS = 30  # in a row on one letter (Unicode Standard Annex 15, stream-safe text)
_TOO_MANY_MARKS = regex.compile(rf"\p{{M}}{{{MOST_MARKS + 1}}}")
# Controls, halves of characters, and the signs that turn the direction of writing round and so let a text read other
# than it is (CVE-2021-42574). The plain marks U+200E, U+200F and U+061C stay: they turn nothing round.
_FORBIDDEN = regex.compile(r"[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069\ufff9-\uffff--[\n\t]]", regex.VERSION1)
# What a mail program may turn into a link by itself: a scheme, letters behind a dot, or four numbers with dots.
_MAY_BECOME_LINK = regex.compile(r"://|\w[.\u2024\u3002\uff0e\uff61]\p{Cf}*\p{L}{2}|\d(\.\d+){3}")


def too_long(most: int) -> str:
    """What is said of a text with more characters."""
    return ngettext(
        "That's too long. Use %(num)s character or fewer.", "That's too long. Use %(num)s characters or fewer.", most
    ) % {"num": most}


def readable(text: str) -> str:
    """The text, if others can read it as it was typed. Raises ValueError with words for the person who typed it."""
    if _TOO_MANY_MARKS.search(text):
        raise ValueError(_("There are too many marks on the letters."))
    if _FORBIDDEN.search(text):
        raise ValueError(_("It contains an invisible character that can't be used. Type that part again."))
    return text


def made_readable(text: str) -> str:
    """A text that was written elsewhere, without the characters that `readable` refuses."""
    return str(_FORBIDDEN.sub("", text))


def paragraph(text: str) -> str:
    """A readable text in one line, with single spaces. Raises ValueError."""
    return readable(" ".join(text.split()))


def without_links(text: str) -> str:
    """The words of a text, for an email in the site's own name: nothing that people write leads anywhere from it."""
    words = regex.split(r"(\s+)", text)
    return "".join(_("[link]") if _MAY_BECOME_LINK.search(word) else word for word in words)
