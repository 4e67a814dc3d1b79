"""What people write for others reads as it was typed: no sign in it turns the writing round, or controls a terminal."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from tests.depth import deep, one_in
from tests.security.test_cost import FIELDS, SETTINGS
from tests.sites import SECRET_KEY, Site
from tests.stories import log_in, register
from tests.test_limit_sweep import PROOF
from tests.watching import execute, give_passkey, standing_site
from webapp.cli.main import main
from webapp.web.forms import Form

ODD = ["\u202e", "\u2066", "\x7f", "\x9b", "a" + "\u0301" * 31]
# What nobody is ever shown: secrets, codes, and what the page or a script fills in.
NEVER_SHOWN = {"password", "password2", "current_password", "code", "credential", "passkey_proof", "handle", "setup"}
NEVER_SHOWN |= {"homepage", "seen", "opened", "next", "mark", "language", "is_public", "remember_me", "trust"}
# What is only compared with a name.
COMPARED = {"Login.username", "DeleteAccount.username"}
# Where words are written, and with what else.
WRITTEN: dict[tuple[str, str], dict[str, str]] = {
    ("/", "body"): {},
    ("/posts/1/reply", "body"): {},
    ("/posts/2/edit", "body"): {},
    ("/posts/1/report", "reason"): {},
    ("/edit_profile", "about_me"): {"username": "susan"},
    ("/passkeys/1", "name"): PROOF,
    ("/invites", "name"): {"places": "1", "days": "7"},
    ("/admin/reports/1/remove", "reason"): {},
    ("/admin/people/david/disable", "reason"): {},
}
COMMANDS = [["requests"], ["mail"], ["users", "list"], ["users", "show", "susan"]]


@pytest.fixture(scope="module")
def site(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that susan looks after, with a post by david, the first, and one by her."""
    folder = tmp_path_factory.mktemp("words")
    with standing_site(migrated_sqlite, folder, admins=("susan@example.com",), member_invites=100) as site:
        assert site.mailbox
        browsers = {}
        for name in ("susan", "david"):
            register(site.browser(), site.mailbox, name)
            browsers[name] = site.browser()
            log_in(browsers[name], name)
        for name in ("david", "susan"):
            browsers[name].post("/", data={"body": "Hello."})
        give_passkey(site)
        site.app.state.susan = browsers["susan"]
        yield site


@pytest.mark.parametrize(("shape", "name"), FIELDS, ids=[f"{shape.__name__}.{name}" for shape, name in FIELDS])
def test_every_field_takes_only_what_others_can_read(shape: type[BaseModel], name: str) -> None:
    for odd in ODD:
        form = Form(shape, {name: f"a {odd}b"})
        form.check(SETTINGS)

        assert name in form.errors or name in NEVER_SHOWN or f"{shape.__name__}.{name}" in COMPARED, odd


@deep
@one_in(4)
@pytest.mark.parametrize(("path", "field"), WRITTEN)
def test_what_cannot_be_read_is_refused_in_words(site: Site, path: str, field: str) -> None:
    for odd in ODD:
        page = site.app.state.susan.post(path, data=WRITTEN[path, field] | {field: f"a {odd}b"})

        assert page.status_code == 422, odd
        assert f'id="{field}-error"' in page.text, odd
        assert "Type that part again." in page.text or "too many marks" in page.text, odd


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_prints_what_controls_a_terminal(
    site: Site, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also of what was written before it was refused, and of what mail servers say."""
    odd = "\x1b[2J\x9b31m\u202e\r"
    moments = "'2026-11-26 12:00:00', '2999-01-01 12:00:00'"
    columns = "email, username, password_hash, why, language, created_at, expires_at, reason"
    execute(site, "DELETE FROM registration_request")
    execute(
        site,
        f"INSERT INTO registration_request ({columns}) VALUES ('x@example.com', 'x', '', :odd, '', {moments}, '')",
        odd=odd,
    )
    execute(site, "UPDATE outbox_email SET state = 'dead', reason = :odd, finished_at = created_at", odd=odd)
    execute(site, "UPDATE session SET user_agent = :odd", odd=odd)
    execute(site, "UPDATE passkey SET name = :odd", odd=odd)
    for name, value in {"BASE_URL": site.settings.base_url, "SECRET_KEY": SECRET_KEY, "MAILER": "off"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DATABASE_URL", site.settings.database_url)
    capsys.readouterr()

    assert main(command) == 0

    printed = capsys.readouterr().out
    assert "?[2J" in printed or command == ["users", "list"]
    assert all(line.replace("\t", "").isprintable() for line in printed.split("\n"))
