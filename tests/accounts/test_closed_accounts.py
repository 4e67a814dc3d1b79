"""Whatever a link is for, and however old it is: of a closed account it says that, and offers nothing in vain."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, update

from tests.accounts.test_tokens import ENDPOINTS
from tests.depth import one_in
from tests.sites import Site
from tests.stories import standing_village
from tests.watching import execute
from webapp.accounts import tokens
from webapp.accounts.models import AccountDeletion, AddressChange, User
from webapp.accounts.tokens import Purpose
from webapp.database import now

# A registration link and an invitation are for people without an account. Emails about posts can be turned off
# meanwhile, in case the account comes back.
OF_ACCOUNT = ENDPOINTS.keys() - {Purpose.REGISTER, Purpose.INVITE}
AGES = {"fresh": timedelta(hours=1), "expired": timedelta(hours=-1)}
# The links that still do something while the owner, or a thief with the password, is having the account deleted.
STOP_DELETION = {Purpose.UNDO_DELETION, Purpose.UNDO_EMAIL, Purpose.NOT_ME}


@pytest.fixture(scope="module")
def site(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Susan has changed her address, and is having her account deleted."""
    with standing_village(migrated_sqlite, tmp_path_factory.mktemp("closed")) as village:
        old = {"user_id": 1, "epoch": 0, "old_email": "susan@example.net", "new_email": "susan@example.com"}
        execute(village, insert(AddressChange).values(id=1, **old, created_at=now(), confirmed_at=now()))
        due = {"asked_at": now(), "due_at": now() + timedelta(days=14)}
        execute(village, insert(AccountDeletion).values(id=1, user_id=1, reason="", **due))
        execute(village, update(User).where(User.id == 1).values(disabled_at=now()))  # type: ignore[arg-type]
        yield village


def told(site: Site, purpose: Purpose, age: timedelta) -> tuple[str, str]:
    """The heading of the page behind a link of susan's, or of her change or deletion, and the page."""
    address = "susan@example.com"
    link = tokens.not_me_link(site.settings, 1, "new_sign_in", address).rpartition("/")[2]
    token = tokens.issue(site.settings, purpose, 1, age, about="mention" if purpose is Purpose.UNSUBSCRIBE else "")
    is_fresh_not_me = purpose is Purpose.NOT_ME and age > timedelta()
    page = site.browser().get(ENDPOINTS[purpose].format(link if is_fresh_not_me else token)).text
    [heading] = re.findall(r"<h1[^>]*>([^<]*)</h1>", page)
    return heading.strip(), page


@pytest.fixture(params=["disabled", "deleted"])
def closed_by_admin(site: Site, request: pytest.FixtureRequest) -> Iterator[Site]:
    """The admin has the last word, whatever its owner wanted."""
    execute(site, update(AccountDeletion).values(reason=request.param))
    yield site
    execute(site, update(AccountDeletion).values(reason=""))


@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize("purpose", sorted(OF_ACCOUNT - {Purpose.UNSUBSCRIBE}))
@one_in(8)
def test_a_link_of_an_account_that_the_admin_closed_says_so(closed_by_admin: Site, purpose: Purpose, age: str) -> None:
    heading, page = told(closed_by_admin, purpose, AGES[age])

    assert heading == "This account is closed"
    assert "fresh link" not in page
    assert 'href="mailto:susan@example.com"' in page


@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize("purpose", sorted(OF_ACCOUNT - {Purpose.UNSUBSCRIBE, Purpose.CONFIRM_EMAIL}))
@one_in(7)
def test_of_an_account_that_is_being_deleted_only_what_stops_that_still_works(
    site: Site, purpose: Purpose, age: str
) -> None:
    heading, page = told(site, purpose, AGES[age])

    assert (heading == "This account is closed") is (purpose not in STOP_DELETION)
    assert (heading == "This link has expired") is (purpose in STOP_DELETION and age == "expired")
    assert "fresh link" not in page


@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize(
    "purpose", sorted(OF_ACCOUNT - {Purpose.CONFIRM_EMAIL, Purpose.UNDO_EMAIL, Purpose.UNDO_DELETION})
)
@one_in(6)
def test_a_link_of_an_account_that_is_gone_leads_nowhere(site: Site, purpose: Purpose, age: str) -> None:
    """One about a change of the address or a deletion names that, which is gone as well: nobody knows whose it was."""
    token = tokens.issue(site.settings, purpose, 999, AGES[age], about="mention")

    page = site.browser().get(ENDPOINTS[purpose].format(token))

    assert (page.status_code, "This link leads nowhere any more" in page.text) == (410, True)
    assert "fresh link" not in page.text
