"""What programs look for at addresses they know beforehand."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.sites import SECRET_KEY, Site
from webapp.settings import Settings

StartSite = Callable[[Settings], Site]
ENVIRONMENT = {
    "BASE_URL": "https://blog.example",
    "SECRET_KEY": SECRET_KEY,
    "DATABASE_URL": "sqlite:////nowhere.db",
    "MAILER": "off",
}


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # a database of that name is left where a site starts


def fields_of(site: Site) -> dict[str, str]:
    answer = site.browser().get("/.well-known/security.txt")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    return dict(line.split(": ", 1) for line in answer.text.splitlines())


@pytest.mark.parametrize(
    ("environment", "contact"),
    [
        ({"ADMINS": "host@example.com, other@example.com"}, "mailto:host@example.com"),
        ({"ADMINS": "The host <host+site@example.com>"}, "mailto:host+site@example.com"),
        ({"SECURITY_CONTACT": "https://example.com/security"}, "https://example.com/security"),
        ({"SECURITY_CONTACT": "mailto:s@example.com", "ADMINS": "host@example.com"}, "mailto:s@example.com"),
    ],
    ids=repr,
)
def test_security_txt_says_whom_to_tell(environment: dict[str, str], contact: str, start_site: StartSite) -> None:
    """RFC 9116"""
    fields = fields_of(start_site(Settings.from_environment(ENVIRONMENT | environment)))

    expires_at = datetime.fromisoformat(fields.pop("Expires"))
    assert fields == {
        "Contact": contact,
        "Preferred-Languages": "en, ru",
        "Canonical": "https://blog.example/.well-known/security.txt",
    }
    assert timedelta(days=30) < expires_at - datetime.now(UTC) < timedelta(days=365)


def test_without_anybody_to_tell_there_is_no_such_file(start_site: StartSite) -> None:
    answer = start_site(Settings.from_environment(ENVIRONMENT)).browser().get("/.well-known/security.txt")

    assert answer.status_code == 404
    assert "Nobody lives at this address" in answer.text
