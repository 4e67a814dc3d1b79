"""The files that robots and browsers ask for by name."""

from collections.abc import Callable

from tests.addresses.steps import signed_in
from tests.mailbox import Mailbox
from tests.sites import Site
from tests.stories import forget_and_find_link
from tests.test_sweeps import ROUTES
from webapp.settings import Settings


def test_robots_stay_away_from_every_link_that_opens_something(site: Site) -> None:
    told = site.browser().get("/robots.txt").text.splitlines()

    links = {route.path.partition("{")[0] for route in ROUTES if "{token}" in route.path}
    assert len(links) > 10
    assert {f"Disallow: {link}" for link in links} <= set(told)
    assert told[0] == "User-agent: *"
    assert not {"Disallow: /", "Disallow: /user/", "Disallow: /explore"} & set(told)


def test_robots_stay_away_from_a_site_that_shows_strangers_nothing(
    start_site: Callable[[Settings], Site], make_settings: Callable[..., Settings], sqlite_url: str
) -> None:
    site = start_site(make_settings(database_url=sqlite_url, public_profiles=False))

    assert site.browser().get("/robots.txt").text == "User-agent: *\nDisallow: /\n"


def test_only_whoever_reads_here_is_asked_to_fetch_the_manifest(site: Site, mailbox: Mailbox) -> None:
    """Whoever is in trouble, maybe on a slow line, gets a request less."""
    member = signed_in(site, mailbox)
    stranger = site.browser()
    in_trouble = ["/login", "/reset_password_request", "/recover", forget_and_find_link(stranger, mailbox)]

    assert [path for path in in_trouble if 'rel="manifest"' in stranger.get(path).text] == []
    assert [path for path in ("/", "/explore", "/user/susan") if 'rel="manifest"' not in stranger.get(path).text] == []
    assert [path for path in ("/", "/settings", "/search") if 'rel="manifest"' not in member.get(path).text] == []
