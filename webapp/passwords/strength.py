"""Which passwords are too easy to guess, and why (NIST SP 800-63B-4, 3.1.1.2; OWASP ASVS 5.0, 6.2).

There are no composition rules: a phrase is welcome. Refused is what a guesser tries first: common passwords with the
usual additions, rows of keys, and words about the person or the site. The work grows only with the password's length,
which is bounded, so nobody can keep the site busy with a password that is hard to judge.
"""

import gzip
import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from webapp.i18n import gettext as _
from webapp.i18n import ngettext
from webapp.passwords.hasher import MAX_LENGTH, is_too_long, normal
from webapp.web.words import too_long

LIST = Path(__file__).with_name("common_passwords.txt.gz")  # common_passwords.md says where it is from
FEWEST_DIFFERENT = 5
FEWEST_UNPREDICTABLE = 6
LENGTHS_IN_LIST = range(5, 25)
LONGEST_CONTEXT = 320

ROWS = (
    *("01234567890", "abcdefghijklmnopqrstuvwxyz", "абвгдеёжзийклмнопрстуфхцчшщъыьэюя"),
    *("`1234567890-=", "!@#$%^&*()_+", '!"№;%:?*()_+'),
    *("qwertyuiop[]\\", "asdfghjkl;'", "zxcvbnm,./"),
    *("qwertzuiopü", "asdfghjklöä", "yxcvbnm,.-"),
    *("azertyuiop", "qsdfghjklm", "wxcvbn,;:!"),
    *("йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю."),
    *("1qaz", "2wsx", "3edc", "4rfv", "5tgb", "6yhn", "7ujm", "8ik,", "9ol.", "0p;/"),
)
PREDICTABLE = {way[start : start + 3] for row in ROWS for way in (row, row[::-1]) for start in range(len(row) - 2)}
# Characters that stand for letters; 1 and ! stand for two.
SPELLINGS = [str.maketrans("4@83601!5$7+2", f"aabego{letter}{letter}ssttz") for letter in "il"]


def of(password: str, min_length: int, *context: str) -> str | None:
    """Why a new password is refused, in words; or None. `context` are words that a guesser would try first."""
    if is_too_long(password):
        return too_long(MAX_LENGTH)
    text = normal(password)
    if len(text) < min_length:
        return ngettext(
            "Too short. Use %(num)s character or more.", "Too short. Use %(num)s characters or more.", min_length
        ) % {"num": min_length}
    text = text.casefold()[:MAX_LENGTH]  # one character may have become eighteen
    if len(set(text)) < FEWEST_DIFFERENT:
        return _("Too easy to guess: it repeats a few characters.")
    if any(_is_about(spelled, min_length, context) for spelled in (text, *_spellings(text))):
        return _("Too easy to guess: it's mostly your username, your email or this site's name.")
    if _unpredictable(text) < FEWEST_UNPREDICTABLE:
        return _("Too easy to guess: it follows the keyboard, the alphabet or the numbers.")
    if _is_common(text):
        return _("Too easy to guess: many people use this password, or one almost like it.")
    return None


def _is_about(text: str, min_length: int, context: tuple[str, ...]) -> bool:
    """Whether a password is little more than words of its context."""
    rest = text
    for word in sorted(set(_words(context)), key=len, reverse=True):
        rest = rest.replace(word, "")
    return rest != text and (_unpredictable(rest) < min_length // 2 or _is_common(rest))


def _words(context: tuple[str, ...]) -> Iterator[str]:
    """The words of the context (a username, an address, a host): whole, up to the @, and in parts."""
    for word in (word[:LONGEST_CONTEXT].casefold() for word in context):
        pieces = (word, word.partition("@")[0], *re.split(r"[\W_]+", word))
        yield from (piece for piece in pieces if len(piece) >= 3)


def _unpredictable(text: str) -> int:
    """How many characters don't just continue the two before them, as in "abc", "qwe", "321", "aaa"."""
    windows = (text[start : start + 3] for start in range(len(text) - 2))
    return len(text) - sum(window in PREDICTABLE or len(set(window)) == 1 for window in windows)


def _is_common(text: str) -> bool:
    """Whether it is a common password, possibly with a few usual additions."""
    return any(len(core) in LENGTHS_IN_LIST and core in _common() for core in set(_cores(text)))


def _cores(text: str) -> Iterator[str]:
    """A password without the digits and signs at its ends, repetition, signs for letters, and gaps; also backwards."""
    first = next((place for place, character in enumerate(text) if character.isalpha()), 0)
    last = next((place for place in range(len(text), 0, -1) if text[place - 1].isalpha()), len(text))
    for core in {text, text[first:], text[:last], text[first:last]}:
        for once in (core, _without_repetition(core)):
            for spelled in (once, *_spellings(once)):
                letters = _without_repetition("".join(filter(str.isalpha, spelled)))
                yield from (spelled, letters, spelled[::-1], letters[::-1])


def _without_repetition(text: str) -> str:
    """The piece that the whole text repeats; the text itself if there is none."""
    return text[: (text + text).find(text, 1)]


def _spellings(text: str) -> Iterator[str]:
    return (text.translate(table) for table in SPELLINGS)


class _Lines:
    """Sorted lines, searched in place: a set of strings would take ten times the memory."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.starts = array("I", [0, *(end.end() for end in re.finditer(rb"\n", text))])

    def __contains__(self, word: str) -> bool:
        wanted, places = word.encode(errors="replace"), range(len(self.starts) - 1)
        place = bisect_left(places, wanted, key=self._line)
        return place < len(places) and self._line(place) == wanted

    def _line(self, place: int) -> bytes:
        return self.text[self.starts[place] : self.starts[place + 1] - 1]


@cache
def _common() -> _Lines:
    return _Lines(gzip.decompress(LIST.read_bytes()))
