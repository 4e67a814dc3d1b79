"""The main job, end to end."""

import re

import pytest

from tests.mailbox import Mailbox
from tests.sites import Site
from tests.stories import NEW_PASSWORD, PASSWORD, forget_and_find_link, is_logged_in, log_in, register


@pytest.mark.alike
def test_a_person_registers_forgets_the_password_and_gets_back_in(any_site: Site, mailbox: Mailbox) -> None:
    browser = any_site.browser()
    register(browser, mailbox)
    log_in(browser)

    link = forget_and_find_link(any_site.browser(), mailbox)
    answer = any_site.browser().post(link, data={"password": NEW_PASSWORD})

    assert (answer.url.path, answer.url.query) == ("/login", b"username=susan")
    assert re.search(r'<input id="password"[^>]* autofocus>', answer.text), "the next field to fill in"
    assert "susan&#39;s password is changed. 1 device was logged out." in answer.text
    assert not is_logged_in(browser), "a reset ends all sessions"
    assert "don&#39;t match" in log_in(browser, password=PASSWORD).text
    log_in(browser, password=NEW_PASSWORD)
    assert is_logged_in(browser)
