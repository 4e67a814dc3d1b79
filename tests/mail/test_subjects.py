"""The subject of every kind of email comes back exactly, whatever the site is called, and so does the sender (C74)."""

import html
import re
from pathlib import Path

import pytest

from tests.depth import deep
from tests.mail.test_headers import parsed, read, well_folded
from tests.sites import COMPILED
from webapp.app import create_app
from webapp.mail_preview import samples
from webapp.settings import Settings

NAMES = [
    "Почта на краю тихого города у моря 👩‍🚀",
    'The "Sea, Post" (Bristol) 🐝',
]
HEADING = re.compile(r"<h1[^>]*>(.*?)</h1>", re.DOTALL)
HEADER = r"^%s:[^\r]*(?:\r\n [^\r]*)*"


def test_a_site_with_a_russian_name_says_in_plain_letters_who_writes(tmp_path: Path) -> None:
    settings = Settings.for_development(8000, {"SITE_NAME": "Почта у моря"}, instance=tmp_path)

    assert settings.sender == "Почта у моря <no-reply@localhost>"


@pytest.mark.parametrize("name", NAMES)
@deep
def test_the_subject_and_the_sender_of_every_email_come_back_exactly(name: str, tmp_path: Path) -> None:
    """C74: the subject is the email's heading, in each language, and folded into short words that don't touch."""
    settings = Settings.for_development(8000, {"SITE_NAME": name, "LANGUAGES": "en,ru"}, instance=tmp_path)

    templates = create_app(settings).state.templates
    templates.bytecode_cache = COMPILED

    emails = list(samples.samples(settings, templates))

    assert len(emails) > 100
    for sample in emails:
        [heading] = HEADING.findall(sample.email.html)
        subject, sender = (header(sample.email.source, one) for one in ("Subject", "From"))
        assert str(parsed(subject)["Subject"]) == html.unescape(heading).replace("\u00a0", " ").strip(), sample.id
        assert read(sender, "From") == name, sample.id
        well_folded(subject)


def header(source: bytes, name: str) -> str:
    [found] = re.findall(HEADER % name, source.decode(), re.MULTILINE)
    return str(found)
