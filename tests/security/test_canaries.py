"""A whole story through every door, and then a search for its secrets in all places where they must not be."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mailbox import Mailbox, paths_in
from tests.sites import Browser, Site
from tests.stories import ask_for_reset
from tests.watching import configured_log, dump, wait_until_posted

FIRST, SECOND, THIRD, FOURTH = (f"canary {number} sings in the mine" for number in ("one", "two", "three", "four"))
MISTYPED = "canary five fell into the field for names"
ADDRESSES = ["susan.canary@example.com", "susan.canary@example.net"]
UNKNOWN = ["nobody.canary@example.org", "nobody_canary"]


class Story:
    """What susan does, in a browser that remembers all it was given, on a site that is looked at after each step."""

    def __init__(self, site: Site, mailbox: Mailbox) -> None:
        self.site = site
        self.mailbox = mailbox
        self.browser: Browser = site.browser(follow_redirects=False)
        self.secrets: set[str] = {FIRST, SECOND, THIRD, FOURTH, MISTYPED}
        self.looks: list[str] = []

    def post(self, path: str, **fields: str) -> str:
        """Sends a form; returns what the answer shows, or where it leads."""
        answer = self.browser.post(path, data=fields, headers={"referer": f"{self.site.settings.base_url}{path}"})
        assert answer.status_code in {200, 303}, answer.text
        self.secrets |= {value for value in self.browser.cookies.values() if len(value) > 20}
        self.look()
        return answer.headers.get("location", answer.text)

    def fail(self, path: str, **fields: str) -> None:
        assert self.browser.post(path, data=fields).status_code in {404, 410, 422}
        self.look()

    def look(self) -> None:
        """Keeps what a backup of this moment would hold."""
        self.looks.append(repr(dump(self.site, is_settled=False)))

    def link(self, start: str, to: str) -> str:
        """The newest link of a kind that came to an address; each is a secret."""
        wait_until_posted(self.site)
        found = [path for email in self.mailbox.all(to) for path in paths_in(email.text)]
        self.secrets |= {path.rpartition("/")[2] for path in found if path.count("/") > 1}
        return next(path for path in found if path.startswith(start))

    def tell(self) -> None:
        """From the registration to a hijacked mailbox, with the mistakes that people make."""
        first, second = ADDRESSES
        self.post("/register", email=first)
        self.post(self.link("/register/", first), username="canary", password=FIRST)
        self.fail("/login", username=MISTYPED, password=FIRST)
        self.fail("/login", username="canary", password=MISTYPED)
        self.post("/login", username="canary", password=FIRST, remember_me="1")
        self.fail("/change_password", current_password=MISTYPED, password=SECOND)
        self.post("/change_password", current_password=FIRST, password=SECOND)
        self.post("/change_email", current_password=SECOND, email=second)
        self.post(self.link("/confirm_email/", second))
        codes = re.findall(r"<code>([0-9a-z-]{14})</code>", self.post("/recovery_codes", current_password=SECOND))
        self.secrets |= {form for code in codes for form in (code, code.replace("-", ""), code.replace("-", "")[4:])}
        self.fail("/recover", username="canary", code="2222-2222-2222")
        reset = self.post("/recover", username="canary", code=codes[0])
        self.secrets.add(reset.rpartition("/")[2])
        self.post(reset, password=THIRD)
        self.fail(reset, password=FOURTH)
        self.post("/undo_email/" + self.link("/undo_email/", first).rpartition("/")[2])
        for typed in UNKNOWN:
            ask_for_reset(self.site.browser(), typed)
        self.post("/reset_password_request", email=first)
        self.post(self.link("/reset_password/", first), password=FOURTH)
        self.post(self.link("/not_me/", first))
        wait_until_posted(self.site)
        self.look()


@pytest.fixture
def log(any_site: Site) -> Iterator[io.StringIO]:
    written = io.StringIO()
    with configured_log(any_site.settings) as handler:
        handler.setStream(written)
        yield written


@pytest.mark.alike
def test_a_whole_story_leaves_no_secret_and_names_nobody(
    any_site: Site, mailbox: Mailbox, log: io.StringIO, tmp_path: Path
) -> None:
    """C56, C21: not in the log, nor at any moment in the database and its outbox, nor in the database's files."""
    story = Story(any_site, mailbox)

    story.tell()

    places = {"log": log.getvalue()}
    places |= {f"database after step {number}": look for number, look in enumerate(story.looks)}
    places |= {file.name: file.read_bytes().decode("latin-1") for file in tmp_path.glob("site.db*")}
    found = [(secret, place) for secret in story.secrets for place, text in places.items() if secret in text]
    assert found == []
    assert len(story.secrets) > 40
    assert all(ADDRESSES[0] in look for look in story.looks[1:]), "the search finds what is kept"
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert len(lines) > 30
    assert all({"time", "level", "logger", "event"} <= line.keys() for line in lines)
    assert [name for name in (*ADDRESSES, *UNKNOWN, "canary@") if name in places["log"]] == []
    assert [name for name in UNKNOWN if name in story.looks[-1]] == [], "who asked for whom is in no backup"
