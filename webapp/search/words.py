"""Parses what people type into the search box: words, "words that stand together", and beginnings of word*.

The result is each database's own query language, made of letters and digits only, so nothing typed can be a syntax
error.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import regex

from webapp.i18n import gettext as _
from webapp.i18n import ngettext

MOST_CHARACTERS = 100
# A shorter beginning matches too many words, and takes too long.
LEAST_BEGINNING = 2

_PART = regex.compile(r'"[^"]*"?\*?|[^\s"]+')
_WORD = regex.compile(r"[\p{L}\p{N}][\p{L}\p{N}\p{M}]*")
_ACCENTED = regex.compile(r"[\u00c0-\u024f\u1e00-\u1eff]|[ёЁ]")
# For PostgreSQL's parser, the 2 of CO₂ is no part of a word.
_RAISED_OR_LOWERED = regex.compile(r"\p{No}+")
_NAME = regex.compile(r'"?@?(\w+)\*?', regex.ASCII)


@dataclass(frozen=True)
class Term:
    """Consecutive words; the last may be just the beginning of one.

    `name` is the beginning of a username that it would match, in lower case, or "".
    """

    words: tuple[str, ...]
    is_beginning: bool = False
    name: str = ""

    @classmethod
    def of(cls, text: str) -> Self:
        words = tuple(_WORD.findall(_plain(text)))
        is_beginning = text.endswith("*") and bool(words) and len(words[-1]) >= LEAST_BEGINNING
        name = _NAME.fullmatch(text)
        return cls(words, is_beginning, name[1].lower() if name else "")


def parse(typed: str) -> tuple[Term, ...]:
    """The terms in what was typed; all must match. Raises ValueError with words for the visitor."""
    if len(typed) > MOST_CHARACTERS:
        words = ngettext(
            "That's long. Search with %(num)s character or fewer.",
            "That's long. Search with %(num)s characters or fewer.",
            MOST_CHARACTERS,
        )
        raise ValueError(words % {"num": MOST_CHARACTERS})
    terms = [Term.of(part) for part in _PART.findall(typed)]
    if not any(term.words for term in terms):
        raise ValueError(_("Only letters and digits can be found. Type a word."))
    return tuple(term for term in terms if term.words)


def for_posts(terms: Sequence[Term], *, is_sqlite: bool) -> str:
    """The query for posts with all terms, as FTS5 or as a PostgreSQL tsquery."""
    write = _fts5 if is_sqlite else _tsquery
    return (" AND " if is_sqlite else " & ").join(write(term) for term in terms)


def for_people(terms: Sequence[Term], *, is_sqlite: bool) -> str:
    """The query for people, one per term: in the beginning of the username or in "about me"."""
    write = _person_fts5 if is_sqlite else _person_tsquery
    return (" AND " if is_sqlite else " & ").join(f"({write(term)})" for term in terms)


def _person_fts5(term: Term) -> str:
    says = f"about_me : {_fts5(term)}"
    return f'username : "{term.name}" * OR {says}' if term.name else says


def _person_tsquery(term: Term) -> str:
    says = _tsquery(term, "B")
    return f"'{term.name}':*A | {says}" if term.name else says


def _fts5(term: Term) -> str:
    phrase = " + ".join(f'"{word}"' for word in term.words)
    return f"({phrase} *)" if term.is_beginning else f"({phrase})"


def _tsquery(term: Term, weight: str = "") -> str:
    parts = [part for word in term.words for part in _RAISED_OR_LOWERED.split(word) if part]
    *words, last = parts or term.words
    star = "*" if term.is_beginning and len(last) >= LEAST_BEGINNING else ""
    lexemes = [*(f"'{word}':{weight}" for word in words), f"'{last}':{weight}{star}"]
    return f"({' <-> '.join(lexemes)})"


def _plain(text: str) -> str:
    """Without capitals and accents, as in the index."""
    text = unicodedata.normalize("NFC", text)
    without_accents: str = _ACCENTED.sub(lambda found: _base(found[0]), text)
    return without_accents.lower()


def _base(letter: str) -> str:
    base = unicodedata.normalize("NFD", letter)[0]
    return base if base.isascii() or base in "еЕ" else letter
