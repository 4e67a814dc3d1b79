"""Subjects and names in any script come back exactly, in words that are short and never touch (C74)."""

import re
from email import message_from_bytes
from email.header import decode_header, make_header
from email.policy import default
from email.utils import parseaddr

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tests.depth import deep
from webapp.mail import headers
from webapp.settings.environment import is_line

LETTERS = some.sampled_from(
    [
        "Сброс",
        "пароля",
        "в",
        "Microblog",
        "à",
        "ё",
        "字",
        "🐝",
        "👩‍👩‍👧",
        "é",
        "=?utf-8?q?x?=",
        "?=",
        '"',
        "\\",
        "<a@b>",
        ",",
        "(",
        ")",
        "1",
        ":",
    ]
)
TEXTS = some.one_of(
    some.lists(LETTERS, min_size=1, max_size=60).map(" ".join),
    some.lists(LETTERS, min_size=1, max_size=60).map("".join),
    some.text(some.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=400),
    some.text("абвгд abc  ", min_size=1, max_size=300),
).filter(lambda text: is_line(text) and text.strip() != "")
WORD = re.compile(rb"=\?utf-8\?b\?[A-Za-z0-9+/=]*\?=")


def parsed(line: str):  # type: ignore[no-untyped-def]
    return message_from_bytes(line.encode("ascii") + b"\r\n\r\n", policy=default)


@deep
@given(TEXTS)
def test_a_subject_comes_back_exactly(text: str) -> None:
    """C74"""
    line = headers.line("Subject", text)

    assert str(parsed(line)["Subject"]) == text if "=?" in line else line == f"Subject: {text}"
    well_folded(line)


@given(TEXTS.map(str.strip), some.sampled_from(["From", "To", "Cc", "Reply-To"]))
def test_a_name_comes_back_exactly(name: str, header: str) -> None:
    """C74: in From and To, beside its address"""
    quoted = name.replace("\\", r"\\").replace('"', r"\"")
    line = headers.line(header, f'"{quoted}" <susan@example.com>')

    (address,) = parsed(line)[header].addresses
    assert address.addr_spec == "susan@example.com"
    assert read(line, header) == name
    if len(name.encode()) <= headers.MOST_BYTES:  # Python's own reader puts a space between two words of a name
        assert address.display_name == name
    well_folded(line)


def read(line: str, header: str) -> str:
    """The name as RFC 2047 has it read."""
    body = line.removeprefix(f"{header}:").replace("\r\n", "")
    words = body.rpartition("<")[0].strip()
    if "=?" in words and not words.startswith('"'):
        return str(make_header(decode_header(words)))
    return parseaddr(body)[0]


def well_folded(line: str) -> None:
    """C74: no word over 75 characters, none touching, no line of words over 76."""
    raw = line.encode("ascii")
    for piece in raw.split(b"\r\n"):
        words = WORD.findall(piece)
        assert all(len(word) <= 75 for word in words)
        assert len(piece) <= 998
        if words:
            assert len(piece) <= 76
            assert re.fullmatch(rb"([A-Za-z-]+: )? ?" + re.escape(words[0]) + rb",?", piece), "one a line"


@pytest.mark.parametrize("text", ["a\nb", "a\r\nBcc: x@example.com", "\x00", "a\u2028b"])
@pytest.mark.parametrize("name", ["Subject", "From", "X-Other"])
def test_a_line_break_is_refused(name: str, text: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        headers.line(name, text)


def test_several_people_stand_in_one_header() -> None:
    line = headers.line("To", "Сьюзен <susan@example.com>, bob@example.com, Ann B. <ann@example.com>")

    found = [(one.display_name, one.addr_spec) for one in parsed(line)["To"].addresses]
    assert found == [("Сьюзен", "susan@example.com"), ("", "bob@example.com"), ("Ann B.", "ann@example.com")]
