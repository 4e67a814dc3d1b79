"""Feeds: readable by every program, and never more than strangers may read."""

import re
from collections.abc import Callable
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.depth import one_in
from tests.people.crowd import arrive, import_people
from tests.posts.wall import let_post, say
from tests.sites import Browser, Site
from tests.watching import execute, statements
from webapp.settings import Settings

ATOM = "{http://www.w3.org/2005/Atom}"
FEEDS = ["/explore/feed.atom", "/user/susan/feed.atom"]
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
HOSTILE = "]]></content><script>alert(1)</script> &lt;b&gt; & \"'> <!-- {{ 7*7 }}"


def read(browser: Browser, path: str) -> ET.Element:
    answer = browser.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/atom+xml"
    return ET.fromstring(answer.content)


def texts(root: ET.Element, name: str) -> list[str | None]:
    """What the entries have under that name."""
    return [entry.findtext(ATOM + name) for entry in root.iter(f"{ATOM}entry")]


def links(element: ET.Element) -> dict[str, dict[str, str]]:
    return {link.attrib.pop("rel"): link.attrib for link in element.findall(f"{ATOM}link")}


@pytest.mark.parametrize(
    ("path", "page", "title"),
    [("/explore/feed.atom", "/explore", "Microblog"), ("/user/SUSAN/feed.atom", "/user/susan", None)],
)
def test_a_feed_has_all_that_rfc_4287_asks_for(site: Site, path: str, page: str, title: str | None) -> None:
    susan = arrive(site)
    number = say(susan, "Hello, @susan!\nSee https://example.com/?a=1&b=2")

    root = read(site.browser(), path)
    [entry] = root.iter(f"{ATOM}entry")

    assert root.tag == f"{ATOM}feed"
    assert root.findtext(f"{ATOM}id") == f"https://blog.example{page}"
    assert root.findtext(f"{ATOM}title") == (title or "susan · Microblog")
    assert root.findtext(f"{ATOM}updated") == entry.findtext(f"{ATOM}updated")
    assert links(root) == {
        "self": {"type": "application/atom+xml", "href": f"https://blog.example{path.replace('SUSAN', 'susan')}"},
        "alternate": {"type": "text/html", "href": f"https://blog.example{page}"},
    }
    post = f"https://blog.example/user/susan/{number}"
    moment = entry.findtext(f"{ATOM}published") or ""
    assert MOMENT.fullmatch(moment)
    assert entry.findtext(f"{ATOM}id") == f"tag:blog.example,{moment[:10]}:post/{number}"
    assert entry.findtext(f"{ATOM}title") == "Hello, @susan! See https://example.com/?a=1&b=2"
    assert links(entry) == {"alternate": {"type": "text/html", "href": post}}
    assert entry.findtext(f"{ATOM}author/{ATOM}name") == "susan"
    assert entry.findtext(f"{ATOM}author/{ATOM}uri") == "https://blog.example/user/susan"


def test_a_post_older_than_a_thousand_years_has_an_id_as_well(site: Site) -> None:
    """An archive may say so. A date in such an id has four digits for the year (RFC 4151, 2.1)."""
    say(arrive(site), "Hwæt!")
    execute(site, "UPDATE post SET created_at = '0999-05-05 00:00:00.000000'")

    [entry] = read(site.browser(), "/user/susan/feed.atom").iter(f"{ATOM}entry")

    assert entry.findtext(f"{ATOM}id") == "tag:blog.example,0999-05-05:post/1"


def test_what_a_post_says_comes_as_markup_whose_links_lead_to_the_site(site: Site) -> None:
    say(arrive(site), "Hello, @susan!\nSee https://example.com/")

    root = read(site.browser(), FEEDS[0])
    [content] = root.iter(f"{ATOM}content")

    assert root.get("{http://www.w3.org/XML/1998/namespace}base") == "https://blog.example/"
    assert content.get("type") == "html"
    assert content.text
    assert content.text.startswith('Hello, <a class="mention" href="/user/susan" dir="ltr">@susan</a>!<br>See <a href=')


@pytest.mark.parametrize("path", FEEDS)
def test_hostile_text_stays_text(site: Site, path: str) -> None:
    """C38"""
    say(arrive(site), HOSTILE)

    root = read(site.browser(), path)

    names = {element.tag.removeprefix(ATOM) for element in root.iter()}
    assert names.isdisjoint({"script", "b"})
    assert texts(root, "title") == [HOSTILE]
    [content] = texts(root, "content")
    assert content
    assert content.startswith("]]&gt;&lt;/content&gt;&lt;script&gt;alert(1)&lt;/script&gt; &amp;lt;b&amp;gt;")


def test_what_xml_can_not_write_is_left_out(site: Site) -> None:
    """No form takes it; but one such post would make the feed unreadable for everybody."""
    say(arrive(site), "Hello")
    execute(site, "UPDATE post SET body = :body", body="Hel\x08lo\ufffe \U0001f389")

    assert texts(read(site.browser(), FEEDS[0]), "title") == ["Hello 🎉"]


@pytest.mark.parametrize(
    ("body", "title"),
    [
        ("Two lines\nare one title", "Two lines are one title"),
        ("word " * 20, f"{'word ' * 15}word…"),
        ("x" * 200, "x" * 79 + "…"),
    ],
)
def test_a_title_is_how_the_post_begins(site: Site, body: str, title: str) -> None:
    say(arrive(site), body)

    assert texts(read(site.browser(), FEEDS[0]), "title") == [title]


@pytest.mark.parametrize("path", FEEDS)
@pytest.mark.alike
def test_a_feed_has_the_twenty_newest_posts(any_site: Site, path: str) -> None:
    import_people(any_site, "susan")
    numbers = let_post(any_site, ("susan", "Hello."), count=25)

    ids = texts(read(any_site.browser(), path), "id")

    assert [int((one or "").rpartition("/")[2]) for one in ids] == numbers[:4:-1]


def test_a_feed_of_nothing_is_a_feed(site: Site) -> None:
    import_people(site, "susan")

    roots = [read(site.browser(), path) for path in FEEDS]

    assert [texts(root, "id") for root in roots] == [[], []]
    assert all(MOMENT.fullmatch(root.findtext(f"{ATOM}updated") or "") for root in roots)


@pytest.mark.parametrize(
    "hidden",
    [
        "UPDATE user_account SET is_public = FALSE WHERE username = 'susan'",
        "UPDATE user_account SET disabled_at = created_at WHERE username = 'susan'",
        "DELETE FROM user_account WHERE username = 'susan'",
    ],
)
@pytest.mark.alike
def test_a_hidden_person_has_no_feed_and_is_in_none(any_site: Site, hidden: str) -> None:
    """The same answer for the hidden, the disabled, the unknown, and names that nobody can have."""
    import_people(any_site, "susan")
    bob = arrive(any_site, "bob")
    let_post(any_site, ("susan", "Hello."))

    execute(any_site, hidden)
    answers = [bob.get(path) for path in ("/user/susan/feed.atom", "/user/nobody/feed.atom", "/user/%00/feed.atom")]

    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert len({answer.text for answer in answers}) == 1
    assert texts(read(bob, FEEDS[0]), "id") == []


@pytest.mark.parametrize("path", FEEDS)
def test_removed_and_deleted_posts_leave_the_feed(site: Site, path: str) -> None:
    import_people(site, "susan")
    kept, *_others = let_post(site, ("susan", "Kept."), ("susan", "Deleted."), ("susan", "Removed."))

    execute(site, "UPDATE post SET deleted_at = created_at WHERE body = 'Deleted.'")
    execute(site, "UPDATE post SET removed_at = created_at WHERE body = 'Removed.'")

    assert kept
    assert texts(read(site.browser(), path), "title") == ["Kept."]


@pytest.mark.parametrize("path", FEEDS)
def test_a_site_without_public_pages_has_no_feeds(
    make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site], path: str
) -> None:
    site = start_site(make_settings(database_url=sqlite_url, public_profiles=False))
    susan = arrive(site)

    assert [browser.get(path).status_code for browser in (susan, site.browser())] == [404, 404]


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("if-none-match", "{etag}", 304),
        ("if-none-match", 'W/{etag}, "other"', 304),
        ("if-none-match", "*", 304),
        ("if-none-match", '"other"', 200),
    ],
)
@one_in(4)
def test_a_reader_gets_only_what_it_does_not_have(site: Site, header: str, value: str, status: int) -> None:
    import_people(site, "susan")
    let_post(site, ("susan", "Hello."))
    reader = site.browser()
    first = reader.get(FEEDS[1])

    second = reader.get(FEEDS[1], headers={header: value.format_map(dict(first.headers))})

    assert second.status_code == status
    assert (second.content == b"") is (status == 304)
    for name in ("etag", "cache-control"):
        assert second.headers[name] == first.headers[name]
    assert first.headers["cache-control"] == "public, max-age=300"


@pytest.mark.parametrize("path", FEEDS)
def test_what_changes_is_seen_by_its_tag(site: Site, path: str) -> None:
    import_people(site, "susan")
    let_post(site, ("susan", "Older."), ("susan", "Newer."))
    reader = site.browser()
    before = reader.get(path)

    execute(site, "UPDATE post SET deleted_at = created_at WHERE body = 'Older.'")
    after = reader.get(path, headers={"if-none-match": before.headers["etag"]})

    assert after.status_code == 200
    assert after.headers["etag"] != before.headers["etag"]


@pytest.mark.parametrize("path", FEEDS)
def test_no_date_keeps_a_reader_from_hearing_that_a_post_is_gone(site: Site, path: str) -> None:
    """Nor may a cache in between have one to compare: the newest post's stays the same."""
    import_people(site, "susan")
    let_post(site, ("susan", "Older."), ("susan", "Newer."))
    newest = read(site.browser(), path).findtext(f"{ATOM}updated")
    execute(site, "UPDATE post SET removed_at = created_at WHERE body = 'Older.'")

    since = format_datetime(datetime.fromisoformat(newest or ""), usegmt=True)
    answer = site.browser().get(path, headers={"if-modified-since": since})

    assert (answer.status_code, "Older." in answer.text) == (200, False)
    assert "last-modified" not in answer.headers


def test_a_feed_is_the_same_for_everybody(site: Site) -> None:
    susan = arrive(site)
    say(susan, "Hello.")

    answers: list[Any] = [browser.get(path) for path in FEEDS for browser in (susan, site.browser())]

    assert [one.content for one in answers[::2]] == [one.content for one in answers[1::2]]
    assert all("set-cookie" not in one.headers for one in answers)


@pytest.mark.parametrize(("path", "most"), [(FEEDS[0], 1), (FEEDS[1], 2)])
@pytest.mark.alike
def test_a_feed_needs_few_statements(any_site: Site, path: str, most: int) -> None:
    import_people(any_site, "susan", "bob")
    let_post(any_site, ("susan", "@bob @susan"), count=20)

    with statements(any_site) as seen:
        read(any_site.browser(), path)

    assert len([one for one in seen if one.startswith("SELECT")]) == most
