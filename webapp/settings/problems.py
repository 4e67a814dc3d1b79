"""What is wrong with a setting: an English sentence that can be said in another language."""

from collections.abc import Callable
from typing import Any, Self


def N_(text: str) -> str:  # noqa: N802  (gettext's own name for it)
    """Marks a text for translation. It is translated later, where it is shown."""
    return text


LONGEST_WORD = 120  # characters of what somebody typed


class Problem(str):
    """The sentence in English; `said` gives it in any language."""

    __slots__ = ("_text", "_values")
    _text: str
    _values: dict[str, Any]

    def __new__(cls, text: str, **values: Any) -> Self:
        values = {name: _shown(value) for name, value in values.items()}
        problem = super().__new__(cls, text % values if values else text)
        problem._text, problem._values = text, values
        return problem

    def said(self, gettext: Callable[[str], str]) -> str:
        text = gettext(self._text)
        return text % self._values if self._values else text


def _shown(value: Any) -> Any:
    """What was typed, in one short line of characters that a terminal shows and does not obey."""
    if not isinstance(value, str):
        return value
    cut = value if len(value) <= LONGEST_WORD else f"{value[: LONGEST_WORD - 1]}…"
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in cut)
