"""Reads environment variables by kind, and collects what is wrong with them instead of stopping at the first."""

import re
from collections.abc import Mapping, Sequence
from email.utils import parseaddr
from typing import TypeVar
from urllib.parse import quote

Word = TypeVar("Word", bound=str)


class Environment:
    """`problems` has one sentence for each variable that could not be read as asked; its default was taken."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.variables = variables
        self.problems: list[str] = []

    def text(self, name: str) -> str:
        return self.variables.get(name, "").strip()

    def listed(self, name: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in self.text(name).split(",") if part.strip())

    def flag(self, name: str, default: bool = False) -> bool:
        word = self.text(name).lower()
        if not word:
            return default
        if word not in {"0", "false", "no", "off", "1", "true", "yes", "on"}:
            self.problems.append(f"{name} is neither yes nor no; say 1 or 0.")
            return default
        return word in {"1", "true", "yes", "on"}

    def number(self, name: str, default: int, low: int, high: int) -> int:
        word = self.text(name)
        if not word:
            return default
        if not (word.isascii() and word.isdigit() and low <= int(word[:9]) <= high):
            self.problems.append(f"{name} must be a whole number from {low} to {high}.")
            return default
        return int(word)

    def choice(self, name: str, *words: Word) -> Word:
        word = self.text(name).lower() or words[0]
        for known in words:
            if word == known:
                return known
        self.problems.append(f"{name} must be one of: {', '.join(words)}.")
        return words[0]

    def contact(self, name: str, addresses: Sequence[str]) -> str:
        """How somebody is reached, as a URI: by mail or on a page; the first of the addresses if nothing is said."""
        uri = self.text(name)
        if not uri:
            address = parseaddr(next(iter(addresses), ""))[1]
            return f"mailto:{quote(address, safe='@+')}" if address else ""
        if not re.fullmatch(r"mailto:[!-~]+@[!-~]+|https://[!-~]+", uri):
            self.problems.append(f"{name} must look like mailto:name@example.com or https://example.com/page.")
        return uri
