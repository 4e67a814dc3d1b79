"""The crowds of the benchmark fit into the tables of today, and their readers see a whole page."""

from tests.benchmarks import timelines
from tests.benchmarks.timelines import Crowd
from tests.sites import Site


def test_a_reader_of_a_crowd_sees_a_page_of_posts(any_site: Site) -> None:
    timelines.fill(any_site.settings.database_url, Crowd(500))

    page = any_site.browser().get("/", headers={"cookie": f"__Host-session={timelines.cookie(1)}"})

    assert page.text.count("<article") == any_site.settings.posts_per_page
