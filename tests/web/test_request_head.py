"""A head is bounded, and nothing of it is kept."""

import re

import pytest

from tests.depth import deep
from tests.sites import Site
from tests.watching import ask
from webapp.settings import ROOT

HOST = ("host", "blog.example")
KIB = 1024


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/login?next=" + "a" * 8 * KIB, [], 414),
        ("/reset_password/" + "a" * 9 * KIB, [], 414),
        ("/login", [("accept-language", "a" * 8 * KIB)], 431),
        ("/login", [("cookie", "flash=" + "a" * 8 * KIB)], 431),
        ("/login", [(f"x-{number}", "a" * 4 * KIB) for number in range(8)], 431),
        ("/login", [("x", "y")] * 100, 431),
        ("/login?next=" + "a" * 7 * KIB, [("cookie", "flash=" + "a" * 7 * KIB)], 200),
        ("/login", [("x", "y")] * 90, 200),
    ],
)
def test_a_head_that_no_browser_sends_is_refused(
    site: Site, path: str, headers: list[tuple[str, str]], status: int
) -> None:
    answer = ask(site, "GET", path, [HOST, *headers])

    assert answer.status == status
    assert "<h1" in answer.text
    assert (("connection", "close") in answer.headers) == (status >= 400)


# What each of them keeps is decided here, and none of it is as a visitor sent it.
CACHES = {
    "passwords/strength.py": 1,  # the list of common passwords
    "database/hot.py": 0,
    "database/postgresql.py": 2,  # the columns of statements; and several statements as one
    "i18n.py": 4,  # catalogues, names and directions of the languages that the site offers; our own texts, and times
    "mail/refusals.py": 1,  # words of ours
    "mail_preview/inbox.py": 1,  # files of a development site
    "mail_preview/samples.py": 1,  # our own samples, for a development site
    "posts/pieces.py": 1,  # posts that are here, as pages show them
    "names/identities.py": 1,  # the domains of a file that is imported
    "posts/statements.py": 8,  # statements
    "limit_windows.py": 1,  # statements
    "search/index.py": 2,  # statements
    "settings/settings.py": 1,  # keys
    "web/static_files.py": 1,  # the files as they were at the start, or, on a development site, last changed
    "web/templating.py": 3,  # times of what is here
}


@deep
def test_no_cache_keeps_what_a_visitor_sent() -> None:
    """Whoever adds a cache says here what its key is: never the words of a request, which it would keep for them."""
    found = {}
    for file in sorted((ROOT / "webapp").rglob("*.py")):
        caches = re.findall(r"@(?:lru_)?cache\b|= (?:lru_)?cache\(|= LRUCache\(", file.read_text())
        if caches:
            found[file.relative_to(ROOT / "webapp").as_posix()] = len(caches)

    assert found == {name: count for name, count in CACHES.items() if count}
