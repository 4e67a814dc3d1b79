"""One form for every address and name, so that no look-alike is ever somebody else (CVE-2019-19844)."""

import re
import sys
import unicodedata

import pytest

from tests.depth import deep
from webapp.names.identities import USERNAME, canonical_address, canonical_identity


def is_ascii_after(character: str) -> bool:
    """Whether some way of comparing text makes ASCII of a character that is none."""
    forms = {
        character.upper(),
        character.lower(),
        character.casefold(),
        character.title(),
        *(unicodedata.normalize(form, character) for form in ("NFKC", "NFKD", "NFC", "NFD")),
        unicodedata.normalize("NFKC", character).casefold(),
        unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode(),
    }
    return any(form and re.search(r"[\x21-\x7e]", form) for form in forms)


@pytest.fixture(scope="module")
def look_alikes() -> list[str]:
    """All of Unicode is gone through, by blocks: most have none, and it would take seconds one by one."""
    points = [point for point in range(128, sys.maxunicode + 1) if not 0xD800 <= point <= 0xDFFF]
    blocks = ([chr(point) for point in points[start : start + 128]] for start in range(0, len(points), 128))
    found = (block for block in blocks if is_ascii_after("\u4e00".join(block)))  # a sign that nothing joins or changes
    return [character for block in found for character in block if is_ascii_after(character)]


def accepted(text: str) -> str | None:
    try:
        return canonical_address(text)
    except ValueError:
        return None


@deep
def test_the_corpus_has_all_look_alikes(look_alikes: list[str]) -> None:
    """C06"""
    assert len(look_alikes) > 2000
    assert {"\u0131", "\u017f", "\u212a", "\uff41", "\u1d43", "\u24d0", "\ufb01", "\u2100"} <= set(look_alikes)


@pytest.mark.parametrize("place", ["{}usan@example.com", "su{}san@example.com", "susa{}@example.com", "{}@example.com"])
@deep
def test_no_look_alike_passes_in_a_local_part(look_alikes: list[str], place: str) -> None:
    """C06: refused, never mapped."""
    passed = [character for character in look_alikes if accepted(place.format(character)) is not None]

    assert passed == []


@deep
def test_a_look_alike_in_a_domain_is_the_very_domain_that_dns_means_or_another(look_alikes: list[str]) -> None:
    """C06: what passes is ASCII, and the domain that IDNA (UTS 46) names: mail goes there and nowhere else."""
    import idna

    differing = {}
    for character in look_alikes:
        domain = f"ex{character}mple.com"
        if (address := accepted(f"susan@{domain}")) is None:
            continue
        meant = idna.encode(domain, uts46=True).decode().lower()
        if address != f"susan@{meant}":
            differing[character] = address

    assert differing == {}


@pytest.mark.parametrize("place", ["{}usan", "su{}an", "susa{}"])
def test_no_look_alike_passes_in_a_name(look_alikes: list[str], place: str) -> None:
    """C06"""
    passed = [character for character in look_alikes if USERNAME.fullmatch(place.format(character))]

    assert passed == []


@pytest.mark.parametrize(
    ("typed", "canonical"),
    [
        ("susan@example.com", "susan@example.com"),
        (" susan@example.com\n", "susan@example.com"),
        ("Susan@Example.COM", "susan@example.com"),
        ("susan+tag@example.com", "susan+tag@example.com"),
        ("s.u.s.a.n@example.com", "s.u.s.a.n@example.com"),
        ("o'neil@example.com", "o'neil@example.com"),
        ("susan@b\u00fccher.example", "susan@xn--bcher-kva.example"),
        ("susan@B\u00dcCHER.example", "susan@xn--bcher-kva.example"),
        ("susan@xn--bcher-kva.example", "susan@xn--bcher-kva.example"),
        ("susan@example\u3002com", "susan@example.com"),
        ("\ufeffsu\u200bsan@exam\u00adple.com\u200e", "susan@example.com"),
        ("\u2068susan@example.com\u2069 ", "susan@example.com"),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
    ],
)
def test_an_address_has_one_form(typed: str, canonical: str) -> None:
    assert canonical_address(typed) == canonical
    assert canonical_address(canonical) == canonical, "the form of the form is itself"


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "susan",
        "susan@",
        "@example.com",
        "susan@example",
        "susan@localhost",
        "susan@127.0.0.1",
        "susan@[127.0.0.1]",
        "susan@example..com",
        "susan@-example.com",
        "susan@example.com.",
        ".susan@example.com",
        "susan.@example.com",
        "su..san@example.com",
        "su san@example.com",
        "susan@exa mple.com",
        "susan@@example.com",
        "susan@example.com@example.net",
        "susan@example.com,evil@example.net",
        "susan@example.com;evil@example.net",
        "susan@example.com evil@example.net",
        "susan@example.com\nBcc: evil@example.net",
        "susan\r\n@example.com",
        "susan\x00@example.com",
        "susan@example.com\x00",
        '"susan"@example.com',
        '"susan@example.net"@example.com',
        "Susan <susan@example.com>",
        "<susan@example.com>",
        "susan(comment)@example.com",
        "=?utf-8?q?susan?=@example.com",
        "susan@example.com?cc=evil@example.net",
        "mailto:susan@example.com",
        "s\u00fcsan@example.com",
        "susan@exam\u202eple.com",
        "\ud800@example.com",
        "a" * 65 + "@example.com",
        "susan@" + "a" * 64 + ".com",
        "susan@" + "a." * 130 + "com",
        "a" * 10_000 + "@example.com",
    ],
)
def test_anything_but_a_plain_address_is_refused_in_words(typed: str) -> None:
    """C08, C46: one address, ASCII, without a name, a comment or a quote."""
    with pytest.raises(ValueError, match="look like an email, such as"):
        canonical_address(typed)


@pytest.mark.parametrize(
    ("typed", "canonical"),
    [("Susan", "susan"), (" SUSAN_7 ", "susan_7"), ("Susan@Example.com", "susan@example.com")],
)
def test_a_name_or_an_address_is_looked_up_in_one_form(typed: str, canonical: str) -> None:
    assert canonical_identity(typed) == canonical


@pytest.mark.parametrize(
    "typed", ["", "ab", "a" * 31, "su san", "susan!", "\u017fusan", "susan\x00", "susan\nx", "s\u00fcsan"]
)
def test_what_is_neither_a_name_nor_an_address_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="your email"):
        canonical_identity(typed)
