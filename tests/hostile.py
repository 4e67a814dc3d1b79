"""Texts that are dear to read for who reads them without care, and a clock that sees it."""

import string
import time
from collections.abc import Callable

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
# Runs of one thing: every sign of ASCII, spaces and breaks, marks, joiners, flags, what one letter becomes many of.
_SINGLE = [
    *string.punctuation,
    *"0 \t\n\r\u00a0\u0085\u2028\u3000\u200b\u200d\u200f\u202e\ufe0f\ufeff\u00ad\u0301\u0316\u0345\u0600\u0e33\u1100",
    *"éßİıſǅяё\u0344\ufdfa\uff20\u3002\U0001d160\U0001f1e9\U0001f468\U0001f3fb\U000e0067",
]
_ALTERNATING = [
    *(f"a{sign}" for sign in string.punctuation + " \n\u00a0\u0301\u200d"),
    *(" \n", "\n ", "\r\n", " \t", "\u0301\u0316", "e\u0301\u0316", "\u094d\u0915\u200d", "\u1100\u1161", FAMILY),
    *("\U0001f468\u200d", "\U0001f44d\U0001f3fd", "\U0001f1e9a", "\U0001f1e9\u0301", "aé", "1a", "Aa", '"a" ', "a* "),
]
_LOOK_ALIKE = [
    *("https:", "https://", "https://a", "https://a.", "https://a.b ", "https://a.b/", "https://a.b,", "https://a@"),
    *("https://a.b/(", "https://a.b/[", "https://a.b/'", "https://a.b/{", "https://a.b/-", "https://a.b/.a"),
    *("https://a.b:1/", "https://xn--a.b/", "https://é.b/", "https://яé.b/", "https://a.b/é", "http://a.b?https://"),
    *("www.", "www.a.b ", "@", "@a", "@susan", "@susan ", "@susan@", "/@susan", "a@", "a@b", "a@b.c", "a@b.", "=?"),
    *("eyJ", "eyJ.", "://a:", "a-b_", "%41", "%", "&amp;", "&#", "<a ", "a=b;", '="\\', "q=1,", ";q=", "a;q=0.1,"),
]
PIECES = list(dict.fromkeys([*_SINGLE, *_ALTERNATING, *_LOOK_ALIKE]))


def texts(size: int) -> list[str]:
    """Every kind at that size: by itself, and between two letters."""
    return [*((piece * size)[:size] for piece in PIECES), *between_letters(size)]


def between_letters(size: int) -> list[str]:
    return [f"x{(piece * size)[: size - 2]}x" for piece in PIECES]


def milliseconds(work: Callable[[], object], times: int = 1) -> float:
    """Of the processor, at the best of some times."""
    best = float("inf")
    for _ in range(times):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best * 1000


def is_dear(work: Callable[[], object], most: float) -> bool:
    """Whether it costs more than that each time, even when a busy machine's slowness is allowed for."""
    return all((cost := milliseconds(work)) > most and cost > most * slowness() for _ in range(8))


def slowness() -> float:
    """How many times as long as on a quiet machine things take just now; 1 at the least."""
    return max(milliseconds(lambda: sorted(map(str, range(2000)))) / _QUIET, 1)


_QUIET = 0.25  # ms
