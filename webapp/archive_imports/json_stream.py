"""Reads a large JSON file that anybody may have made, an item at a time, so it is never in memory as a whole."""

import codecs
import json
import re
from collections.abc import Callable, Iterator
from typing import IO, Any

PIECE = 64 * 1024
MOST_OF_ITEM = 512 * 1024  # characters
MOST_VALUES = 500_000  # whose names count, too: 100 MB of posts are 150,000, but 100 MB of zeros fifty million
_WHITE = re.compile(r"[ \t\r\n]*")


class TooMuch(Exception):
    """The file, or one thing in it, is larger than it may be."""


class JsonStream:
    """A JSON object whose large values are arrays. `arrays` has the names of those found so far.

    `go_on` is called for each piece that is read, and may raise what ends it.
    """

    def __init__(self, file: IO[bytes], most_bytes: int, go_on: Callable[[], None]) -> None:
        self.arrays: set[str] = set()
        self._go_on = go_on
        self._file, self._left = file, most_bytes
        self._decode = codecs.getincrementaldecoder("utf-8-sig")()
        self._json = json.JSONDecoder()
        self._text = ""
        self._at = self._values = 0

    def items(self, *names: str) -> Iterator[tuple[str, Any]]:
        """The items of the arrays of these names, each with the name. Raises ValueError, RecursionError or TooMuch."""
        self._take("{")
        while self._look() == '"':
            name = str(self._value())
            self._take(":")
            if self._look() == "[":
                self.arrays.add(name)
                yield from ((name, item) for item in self._array() if name in names)
            else:
                self._value()
            if self._look() == ",":
                self._take(",")
        self._take("}")

    def _array(self) -> Iterator[Any]:
        self._take("[")
        while self._look() != "]":
            yield self._value()
            if self._look() != "]":
                self._take(",")
        self._take("]")

    def _value(self) -> Any:
        self._values += 1
        if self._values > MOST_VALUES:
            raise TooMuch
        self._look()
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if not self._more():
                    raise
                continue
            if end == len(self._text) and self._more():  # a number may go on
                continue
            self._at = end
            return value

    def _take(self, character: str) -> None:
        if self._look() != character:
            raise ValueError(f"no {character}")
        self._at += 1

    def _look(self) -> str:
        """The next character that is not white; "" at the end."""
        while True:
            self._at = _WHITE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _more(self) -> bool:
        """Reads as much again as it holds, so that a long item is looked at only a few times; False at the end of the
        file.
        """
        open_end = len(self._text) - self._at
        if open_end > MOST_OF_ITEM:
            raise TooMuch
        self._go_on()
        data = self._file.read(max(PIECE, open_end))
        self._left -= len(data)
        if self._left < 0:
            raise TooMuch
        if not data:
            return False
        self._text, self._at = self._text[self._at :] + self._decode.decode(data), 0
        return True
