"""What is kept of posts is never shown to somebody for whom another piece was made, nor after it has changed."""

import re
from collections.abc import Callable

import pytest

from tests.depth import one_in, share
from tests.people.crowd import arrive, let_part
from tests.posts.wall import say
from tests.sites import Browser, Site
from tests.stories import PASSWORD
from tests.watching import disable, execute
from webapp.settings import Settings

PAGES = ("/", "/explore", "/user/susan", "/user/susan/1", "/search?q=morning")
Change = Callable[[Site, Browser], object]


@pytest.fixture
def crowd(make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]) -> Site:
    """It has an admin."""
    return start_site(make_settings(database_url=sqlite_url, admins=("host@example.com",)))


def renamed(site: Site, author: Browser) -> object:
    return author.post("/edit_profile", data={"username": "susanna", "is_public": "1", "current_password": PASSWORD})


def hidden(site: Site, author: Browser) -> object:
    return author.post("/edit_profile", data={"username": "susan"})


def hidden_mention(site: Site, author: Browser) -> object:
    return execute(site, "UPDATE user_account SET is_public = false WHERE username = 'ann'")


def renamed_mention(site: Site, author: Browser) -> object:
    return execute(site, "UPDATE user_account SET username = 'Anna', username_key = 'anna' WHERE username = 'ann'")


CHANGES: dict[str, Change] = {
    "nothing": lambda site, author: None,
    "the author takes another name": renamed,
    "the author hides": hidden,
    "who is mentioned hides": hidden_mention,
    "who is mentioned takes another name": renamed_mention,
    "the reader mutes who is mentioned": lambda site, author: let_part(site, "mute", "ivan", "ann"),
    "who is mentioned blocks the reader": lambda site, author: let_part(site, "block", "ann", "ivan"),
    "who is mentioned is disabled": lambda site, author: disable(site, "ann"),
    "the post is deleted": lambda site, author: author.post("/posts/1/delete"),
    "the post is removed": lambda site, author: execute(site, "UPDATE post SET removed_at = created_at WHERE id = 1"),
    "the post is edited": lambda site, author: author.post("/posts/1/edit", data={"body": "Good morning, all!"}),
    "the post is another": lambda site, author: execute(site, "UPDATE post SET body = 'Good night.' WHERE id = 1"),
}


def seen(reader: Browser, page: str) -> str:
    """A page, but for how long ago things were."""
    return re.sub(r"data-ago>[^<]+<", "data-ago><", reader.get(page).text)


@pytest.mark.parametrize("change", CHANGES)
@one_in(12)
def test_every_reader_sees_what_a_fresh_page_would_show(crowd: Site, change: str) -> None:
    author = arrive(crowd)
    readers = [author, arrive(crowd, "ann"), arrive(crowd, "ivan"), arrive(crowd, "host"), crowd.browser()]
    execute(crowd, "UPDATE user_account SET language = 'ru' WHERE username = 'ivan'")
    say(author, "Good morning, @ann!")
    readers[1].post("/follow/susan")
    readers[2].post("/posts/1/reply", data={"body": "Good morning yourself, @ann."})
    looks = share([(reader, page) for reader in readers for page in PAGES], list(CHANGES).index(change), 3)
    warm = [seen(*look) for look in looks]

    CHANGES[change](crowd, author)
    kept = [seen(*look) for look in looks]
    crowd.app.state.pieces._kept.clear()
    fresh = [seen(*look) for look in reversed(looks)][::-1]

    assert any("Good morning" in page for page in warm)
    assert kept == fresh


def test_each_reader_gets_what_they_may_do(crowd: Site) -> None:
    """In whatever order they come, for it is kept from one to the next."""
    author, member, admin, stranger = arrive(crowd), arrive(crowd, "ann"), arrive(crowd, "host"), crowd.browser()
    say(author, "Good morning!")

    def offers(reader: Browser) -> set[str]:
        page = reader.get("/explore").text
        return {words for words in ("/posts/1/delete", "/posts/1/report", "/admin/reports/1/remove") if words in page}

    for _again in range(2):
        assert offers(stranger) == set()
        assert offers(author) == {"/posts/1/delete"}
        assert offers(member) == {"/posts/1/report"}
        assert offers(admin) == {"/posts/1/report", "/admin/reports/1/remove"}
