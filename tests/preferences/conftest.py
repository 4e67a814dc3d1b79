"""A site that stands for a whole module, for what must change nothing; and susan, who is logged in there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sites import Browser, Site
from tests.stories import log_in, register
from tests.watching import standing_site


@pytest.fixture(scope="module")
def standing(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("standing")) as site:
        assert site.mailbox
        site.app.state.visitor = site.browser()
        register(site.app.state.visitor, site.mailbox)
        yield site


@pytest.fixture(scope="module")
def visitor(standing: Site) -> Browser:
    """In the browser in which susan has registered."""
    browser: Browser = standing.app.state.visitor
    log_in(browser)
    return browser
