"""Who a path names: somebody by their username, and nobody by anything else."""

import pytest

from tests.depth import deep, one_in
from tests.people.crowd import arrive, import_people
from tests.sites import Site

# Susan's address; and what no database may be asked for.
NO_NAMES = ["SUSAN@example.com", "susan%00", "susan%0A", "ſusan"]


@deep
@pytest.mark.parametrize("name", NO_NAMES)
@pytest.mark.alike
@one_in(2)
def test_what_cant_be_a_username_leads_to_nobody(any_site: Site, name: str) -> None:
    """C01, C46: else an address would show a stranger whether it has an account, and whose."""
    import_people(any_site, "susan")
    bob = arrive(any_site, "bob")
    places = ["", "/followers", "/following", "/1", "/feed.atom"]

    pages = [bob.get(f"/user/{name}{place}") for place in places]
    turns = [bob.post(f"/{verb}/{name}") for verb in ("follow", "unfollow")]

    assert [page.status_code for page in [*pages, *turns]] == [404] * 7
