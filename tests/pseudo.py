"""A site that speaks only the pseudo-locale, whose every text is accented and two fifths longer, and its readers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.sites import Browser, Site
from tests.stories import ask_for_reset, log_in, register
from tests.test_sweeps import NAMES, ROUTES
from tests.watching import standing_site
from webapp.i18n import PSEUDO

FOR_MACHINES = {"health", "ready", "security_txt", "mailbox_source", "gallery_source"}
FOR_DEVELOPERS = {"gallery", "gallery_email", "mailbox_email"}  # they show names of templates and headers, too
EVERYBODY = ["a stranger", "susan", "david"]
PAGES = [name for name in NAMES if name not in FOR_MACHINES | FOR_DEVELOPERS]
FORMS = [route.name for route in ROUTES if "POST" in (route.methods or ()) and route.name != "logout"]
SUBJECT = {PSEUDO: "⟦Rését", "ru": "Новый пароль"}
FIELDS = ("username", "email", "password", "password2", "current_password", "body", "about_me", "reason", "code")


@contextmanager
def pseudo_site(migrated_sqlite: Path, folder: Path, language: str = PSEUDO) -> Iterator[Site]:
    """A site with susan, who looks after it and writes, and with david and erin. Given a language, in that one."""
    only = {"languages": (language,), "admins": ("susan@example.com",), "member_invites": 5}
    with standing_site(migrated_sqlite, folder, **only) as site:
        assert site.mailbox
        for name in ("susan", "david", "erin"):
            register(site.browser(), site.mailbox, name)
        ask_for_reset(site.browser())
        site.app.state.link = site.mailbox.link("susan@example.com", subject=SUBJECT[language])
        for name in ("david", "susan"):
            author = site.browser()
            log_in(author, name)
            author.post("/", data={"body": "Hello."})
            author.post("/follow/susan")
        yield site


def readers_of(site: Site) -> dict[str, Browser]:
    readers = {"a stranger": site.browser(), "susan": site.browser(), "david": site.browser()}
    for name in ("susan", "david"):
        log_in(readers[name], name)
    return readers
