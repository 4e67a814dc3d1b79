"""What is wrong with a setting: an English sentence that can be said in another language."""

from collections.abc import Callable
from typing import Any, Self


def N_(text: str) -> str:  # noqa: N802  (gettext's own name for it)
    """Marks a text for translation. It is translated later, where it is shown."""
    return text


class Problem(str):
    """The sentence in English; `said` gives it in any language."""

    __slots__ = ("_text", "_values")
    _text: str
    _values: dict[str, Any]

    def __new__(cls, text: str, **values: Any) -> Self:
        problem = super().__new__(cls, text % values if values else text)
        problem._text, problem._values = text, values
        return problem

    def said(self, gettext: Callable[[str], str]) -> str:
        text = gettext(self._text)
        return text % self._values if self._values else text
