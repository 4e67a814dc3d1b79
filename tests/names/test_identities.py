"""The one form of an address."""

from itertools import product

import pytest

from tests.depth import deep
from webapp.names.identities import address_of_many, canonical_address

BEFORE = [
    "susan",
    "Susan.Smith",
    "s+news",
    "a.b.c",
    ".a",
    "a.",
    "a..b",
    "o'neil",
    "сюзан",
    "a b",
    "",
    "x" * 65,
    "=?utf-8?q?a?=",
]
DOMAINS = ["example.com", "EXAMPLE.com", "bücher.example", "home.local", "local", "-a.com", "a..b", "exa mple.com"]
DOMAINS += ["", "x" * 70 + ".com"]
LOCAL = ["home.local"]


@deep
@pytest.mark.parametrize(("before", "domain"), list(product(BEFORE, DOMAINS)))
def test_an_address_among_many_has_the_same_form_as_alone(before: str, domain: str) -> None:
    def outcome(read: object) -> str:
        try:
            return str(read(f" {before}@{domain}", LOCAL))  # type: ignore[operator]
        except ValueError as refused:
            return f"refused: {refused}"

    assert outcome(address_of_many) == outcome(canonical_address)
