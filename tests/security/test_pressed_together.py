"""One button pressed in two browsers in the same instant, or a button and a link, on PostgreSQL: neither is given up,
what can be done once is done once, and nobody is told anything untrue.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import anyio
import pytest
from httpx2 import Response
from sqlalchemy import text

from tests.depth import deep
from tests.mailbox import PATIENCE
from tests.security.test_at_once import browser, count_once, hashes, in_line, logged_in, site, standing
from tests.security.test_stolen_cookie import NOT_BY_COOKIE
from tests.sites import Site
from tests.stories import PASSWORD
from tests.test_limit_sweep import SENT, form_of, path_of
from tests.watching import execute
from webapp import rate_limits
from webapp.database import execute as execute_in

__all__ = ["hashes", "site", "standing"]  # fixtures
pytestmark = pytest.mark.postgresql

BUTTONS = [name for name in SENT if name not in NOT_BY_COOKIE]
WAIT_FOR_ROWS = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND locktype IN ('transactionid', 'tuple')"
# What is sent where the usual asks for the password first: they have logged in a moment ago.
WITHOUT_PASSWORD = {"emails": {"new_sign_in": "1"}}

Press = Callable[[], Response]


def in_two_browsers(site: Site, name: str) -> list[Press]:
    """Susan's, both of which have the same page open."""
    first, second = logged_in(site), logged_in(site)
    path = path_of(site, first, name)
    forms = [WITHOUT_PASSWORD.get(name) or form_of(each, name) for each in (first, second)]
    execute(site, "DELETE FROM limit_window")
    site.run(count_once, site)
    return [lambda: first.post(path, data=forms[0]), lambda: second.post(path, data=forms[1])]


@pytest.mark.parametrize("name", BUTTONS)
@deep
def test_of_two_who_press_the_same_button_none_is_given_up(site: Site, name: str) -> None:
    answers = in_line(site, *in_two_browsers(site, name))

    assert [answer.status_code for answer in answers if answer.status_code >= 500] == []


@pytest.mark.parametrize("link", ["unsubscribe", "subscribe_again"])  # a reset is in tests/security/test_at_once.py
@pytest.mark.parametrize("name", BUTTONS)
@deep
def test_a_button_and_a_link_do_not_wait_for_each_other(site: Site, name: str, link: str) -> None:
    """The button takes the account first, and then what belongs to it. A link must not have that already."""
    button, stranger = in_two_browsers(site, name)[0], browser(site)
    path = path_of(site, stranger, link)

    answers = in_line(site, button, lambda: stranger.post(path))

    assert [answer.status_code for answer in answers if answer.status_code >= 500] == []


@pytest.mark.parametrize("name", BUTTONS)
@deep
def test_two_different_buttons_do_not_wait_for_each_other(site: Site, name: str) -> None:
    """Each counts first, and takes the account then."""
    button, other = in_two_browsers(site, name)[0], logged_in(site)

    answers = in_line(site, button, lambda: other.post("/edit_profile/picture"))

    assert [answer.status_code for answer in answers if answer.status_code >= 500] == []


@deep
def test_who_asks_for_two_emails_in_the_same_instant_gets_both(site: Site) -> None:
    """Each is counted for the client IP and for the account. Were it not in the same order, they could deadlock."""
    susan = logged_in(site)
    address = {"email": "new@example.org", "current_password": PASSWORD}

    async def let_wait(pool: ThreadPoolExecutor) -> list[Future[Response]]:
        asking: list[Future[Response]] = []
        async with site.app.state.database.session(is_writing=True) as db:
            await rate_limits.tally(db, site.settings, rate_limits.WAITED_FOR_FIRST, "1")
            await db.commit()  # for a row that is there they wait one behind the other
            await rate_limits.tally(db, site.settings, rate_limits.WAITED_FOR_FIRST, "1")
            for path, form in (("/sign-in_methods/app", {}), ("/change_email", address)):
                asking.append(pool.submit(susan.post, path, data=form))
                with anyio.fail_after(PATIENCE):
                    while (await execute_in(db, text(WAIT_FOR_ROWS))).scalar_one() < len(asking):
                        await anyio.sleep(0.01)
            await db.commit()
        return asking

    with ThreadPoolExecutor(2) as pool:
        asking: list[Future[Response]] = site.run(let_wait, pool)  # type: ignore[assignment]
        answers = [one.result(PATIENCE) for one in asking]

    assert [answer.status_code for answer in answers] == [303, 303]


@deep
def test_an_export_is_asked_for_once(site: Site) -> None:
    execute(site, "DELETE FROM account_export")
    execute(site, "DELETE FROM security_event")

    answers = in_line(site, *in_two_browsers(site, "export"))

    assert [answer.status_code for answer in answers] == [303, 303]
    assert execute(site, "SELECT count(*) FROM security_event WHERE kind = 'export_asked'") == [(1,)]


@deep
def test_nobody_hears_that_the_right_password_is_wrong(site: Site) -> None:
    """The account has changed while it was looked at."""
    susan = logged_in(site)

    def delete_meanwhile(run: str) -> None:
        if run == "verify":
            execute(site, "UPDATE user_account SET epoch = epoch + 1, disabled_at = now() WHERE id = 1")

    site.argon2.meanwhile = delete_meanwhile
    answer = susan.post("/recovery_codes", data={"current_password": PASSWORD})
    site.argon2.meanwhile = lambda run: None

    assert answer.status_code == 422
    assert "Your account has just changed. Try again." in answer.text
    assert "not your current password" not in answer.text
