"""A language that is written from right to left needs its catalogue, and nothing else: no style, no template."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.depth import deep
from tests.sites import Site
from webapp.mail_preview import samples
from webapp.settings import ROOT, Settings

ARABIC = '<html lang="ar" dir="rtl">'
STYLES = sorted((ROOT / "static" / "css").glob("*.css"))
DOCUMENTS = [file for file in (ROOT / "templates").rglob("*.html") if "<html" in file.read_text()]
# Where a side is named, in CSS that could name the beginning or the end of a line.
A_SIDE = re.compile(
    r"(?:margin|padding|border|scroll-margin|scroll-padding)-(?:left|right)\b"
    r"|(?:^|[\s;{])(?:left|right)\s*:|(?:text-align|float|clear)\s*:\s*(?:left|right)\b"
    r"|(?:margin|padding)\s*:\s*(?P<top>[^\s;]+) (?P<right>[^\s;]+) (?P<bottom>[^\s;]+) (?!(?P=right)\b)[^\s;]+;"
)


@pytest.fixture
def arabic(make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]) -> Site:
    """There is no Arabic catalogue, so it says in English what it says."""
    return start_site(make_settings(database_url=sqlite_url, languages=("ar",)))


@pytest.mark.parametrize("path", ["/", "/login", "/nowhere", "/reset_password/cut"])
@deep
def test_a_page_is_written_from_right_to_left(arabic: Site, path: str) -> None:
    assert ARABIC in arabic.browser().get(path).text


@deep
def test_every_email_is_written_from_right_to_left(arabic: Site) -> None:
    emails = [sample.email.html or "" for sample in samples.samples(arabic.settings, arabic.app.state.templates)]

    assert len(emails) > 20
    assert [html for html in emails if ARABIC not in html or "text-align: right" not in html] == []
    assert [html for html in emails if "text-align: left" in html or "border-left: 3px solid #" in html] == []


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_a_document_says_where_its_lines_begin(file: Path) -> None:
    assert '<html lang="{{ language }}" dir="{{ direction() }}">' in file.read_text()


@pytest.mark.parametrize("file", STYLES, ids=lambda file: file.name)
def test_a_style_names_no_side(file: Path) -> None:
    assert [found[0] for found in A_SIDE.finditer(file.read_text())] == []


@pytest.mark.parametrize(
    "style",
    ["margin-left: 1px;", "{right: 0;}", "text-align: left;", "padding: 0 1px 2px 3px;", "border-right: 0;"],
)
def test_a_side_is_found(style: str) -> None:
    assert A_SIDE.search(style)
    assert not A_SIDE.search("margin: 0 auto 1px auto; border-top-left-radius: 1px; padding-inline: 0; x: left;")
