"""The crowds of the benchmarks fit into the tables of today, and are answered as the measuring expects."""

from collections.abc import Callable
from urllib.parse import parse_qsl

import pytest

from tests.benchmarks import crowds, growth
from tests.benchmarks.crowds import Crowd
from tests.depth import deep
from tests.sites import Site
from webapp.settings import Settings


@pytest.mark.alike
@deep
def test_a_crowd_is_answered_with_what_is_measured(
    database_url: str, start_site: Callable[[Settings], Site], make_settings: Callable[..., Settings]
) -> None:
    site = start_site(make_settings(database_url=database_url, admins=growth.ADMINS))
    crowds.fill(database_url, Crowd(600))

    for page in growth.PAGES:
        path, form = page.asks(7, 600)
        headers = {"cookie": f"__Host-session={crowds.cookie(page.first_reader)}"} if page.first_reader else {}
        method, data = ("POST", dict(parse_qsl(form))) if form else ("GET", None)
        answer = site.browser().request(method, path, headers=headers, data=data, follow_redirects=False)

        assert answer.status_code == page.status, page.name
        assert page.shows in answer.text, page.name
