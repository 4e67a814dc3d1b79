"""Whatever date an imported post has, nobody's page fails by it, on either database."""

from pathlib import Path

import pytest

from tests.archive_imports.test_upload import upload, wait_until_done
from tests.archives.test_export import ask, download
from tests.archives.test_import import note, outbox, zipped
from tests.depth import deep
from tests.people.crowd import arrive
from tests.sites import Site
from tests.watching import execute

REFUSED = ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "0999-05-06T07:08:09Z", "1969-12-31T23:59:59Z"]
TAKEN = ["1970-01-01T00:00:00Z", "1970-01-01", "9999-12-31T23:59:59-14:00", "2023-05-06T07:08:09.5+02:00"]
PAGES = ["/", "/explore", "/search?q=heron", "/user/susan", "/user/susan/feed.atom", "/explore/feed.atom"]


@pytest.mark.alike
@deep
def test_a_post_of_any_date_breaks_no_page_and_no_export(any_site: Site, tmp_path: Path) -> None:
    susan = arrive(any_site)
    items = [note(f"A heron of {published}.", published=published) for published in REFUSED + TAKEN]
    upload(susan, zipped(tmp_path, outbox__json=outbox(*items)).read_bytes())
    wait_until_done(any_site)

    visitors = susan, arrive(any_site, "bob"), any_site.browser()
    answers = {browser.get(page).status_code for browser in visitors for page in PAGES}
    said = susan.get("/import").text
    ask(susan)
    months = [name for name in download(any_site, susan).namelist() if name.startswith("posts/")]

    assert answers == {200}
    assert f"without a date, or with one before 1970: {len(REFUSED)}" in said
    assert execute(any_site, "SELECT count(*) FROM post") == [(len(TAKEN),)]
    assert {"posts/1970-01.html", "posts/2023-05.html"} < set(months)
