"""What robots are told by robots.txt."""

from collections.abc import Callable

from tests.sites import Site
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
