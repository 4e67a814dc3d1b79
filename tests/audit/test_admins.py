"""Whatever an admin does is in the security events, with who it was (C56)."""

import re

import pytest

from tests.depth import deep, one_in
from tests.security.test_roles import ADMIN
from tests.sites import Browser, Site
from tests.test_limit_sweep import SENT, no_app_afterwards, path_of, site, susan
from tests.watching import execute

__all__ = ["no_app_afterwards", "site", "susan"]  # fixtures

REFUSED = "INSERT INTO refused_address VALUES ('david@example.com', '2026-01-01', 'bounce', NULL, 'full')"
NAMED = "SELECT kind FROM security_event WHERE id > :last AND (user_id = 1 OR user_agent LIKE '%admin''s page: susan')"


@deep
@one_in(4)
@pytest.mark.parametrize("name", [name for name in SENT if name in ADMIN])
def test_whatever_an_admin_does_is_noted_with_their_name(site: Site, susan: Browser, name: str) -> None:
    path, form = path_of(site, susan, name), SENT[name]
    if name == "address_works_again":
        execute(site, REFUSED)
        form = {"mark": re.findall(r'name="mark" value="(\w+)"', susan.get("/admin/mail").text)[0]}
    execute(site, "DELETE FROM limit_window")
    [(last,)] = execute(site, "SELECT max(id) FROM security_event")

    answer = susan.post(path, data=form)

    assert answer.status_code in {200, 303}
    assert execute(site, NAMED, last=last) != []
