"""What a page tells machines about itself, and whether it may be indexed."""

import html
import re
from collections.abc import Callable

from tests.people.crowd import arrive
from tests.posts.wall import say
from tests.sites import Site
from tests.watching import execute
from webapp.settings import Settings

ADDRESS = "https://blog.example"
HOSTILE = "\"><script>alert(1)</script><meta name='x' content='y'> &quot; {{ 7*7 }}"


def tags_in(page: str) -> dict[str, str]:
    """The meta tags and links of a page's head, but those that all pages have."""
    head = page.partition("</head>")[0]
    found = re.findall(r'<meta (?:name|property)="([^"]+)" content="([^"]*)">', head)
    found += re.findall(r'<link rel="(canonical)" href="([^"]+)">', head)
    found += re.findall(r'<link rel="(alternate)" type="application/atom\+xml" title="[^"]+" href="([^"]+)">', head)
    own = ("og:", "article:", "twitter:", "description", "robots", "canonical", "alternate")
    return {name: html.unescape(text) for name, text in found if name.startswith(own)}


def test_a_profile_says_whose_it_is(site: Site) -> None:
    susan = arrive(site)
    susan.post("/edit_profile", data={"username": "susan", "about_me": HOSTILE, "is_public": "1"})

    page = site.browser().get("/user/SUSAN")
    image = tags_in(page.text)["og:image"]

    assert tags_in(page.text) == {
        "canonical": f"{ADDRESS}/user/susan",
        "description": HOSTILE,
        "og:site_name": "Microblog",
        "og:type": "profile",
        "og:title": "susan",
        "og:url": f"{ADDRESS}/user/susan",
        "og:description": HOSTILE,
        "og:image": image,
        "og:image:width": "1200",
        "og:image:height": "630",
        "twitter:card": "summary_large_image",
        "alternate": f"{ADDRESS}/user/susan/feed.atom",
    }
    assert site.browser().get(image.removeprefix(ADDRESS)).headers["content-type"] == "image/png"
    assert "<script>" not in page.text


def test_a_post_says_what_it_says(site: Site) -> None:
    """C38: escaped, and shortened as a whole."""
    susan = arrive(site)
    number = say(susan, f"{HOSTILE}\n{'word ' * 40}")

    page = site.browser().get(f"/user/susan/{number}")
    tags = tags_in(page.text)

    assert tags["canonical"] == tags["og:url"] == f"{ADDRESS}/user/susan/{number}"
    assert (tags["og:type"], tags["og:title"]) == ("article", "A post by susan")
    assert tags["og:description"] == tags["description"]
    assert tags["description"].startswith(f"{HOSTILE}\nword word")
    assert tags["description"].endswith(" word…")
    assert 180 < len(tags["description"]) <= 200
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", tags["article:published_time"])
    assert "<script>" not in page.text
    assert "<meta name='x'" not in page.text


def test_somebody_who_says_nothing_has_a_description_nevertheless(site: Site) -> None:
    arrive(site)

    assert tags_in(site.browser().get("/user/susan").text)["description"] == "Posts by susan on Microblog."


def test_explore_says_where_its_feed_is(site: Site) -> None:
    tags = tags_in(site.browser().get("/explore").text)

    assert tags["alternate"] == f"{ADDRESS}/explore/feed.atom"
    assert tags["canonical"] == f"{ADDRESS}/explore"


NOT_FOR_STRANGERS = {"robots": "noindex"}


def test_what_strangers_may_not_read_tells_machines_nothing(site: Site) -> None:
    susan = arrive(site)
    number = say(susan)
    execute(site, "UPDATE user_account SET is_public = FALSE")

    pages = [susan.get(path) for path in ("/user/susan", f"/user/susan/{number}")]

    assert [tags_in(page.text) for page in pages] == [NOT_FOR_STRANGERS] * 2
    assert all(page.status_code == 200 and "feed.atom" not in page.text for page in pages)


def test_other_pages_are_not_for_indexes(site: Site) -> None:
    susan = arrive(site)
    paths = ["/", "/settings", "/search?q=hello", "/login", "/reset_password/cut", "/nowhere"]

    tags = [tags_in(susan.get(path).text) for path in paths]

    assert tags == [NOT_FOR_STRANGERS] * len(paths)


def test_where_no_page_is_public_none_is_for_indexes(
    make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]
) -> None:
    site = start_site(make_settings(database_url=sqlite_url, public_profiles=False))
    susan = arrive(site)
    number = say(susan)

    pages = [susan.get(path).text for path in ("/explore", "/user/susan", f"/user/susan/{number}")]

    assert [tags_in(page) for page in pages] == [NOT_FOR_STRANGERS] * 3
    assert all("feed.atom" not in page for page in pages)
