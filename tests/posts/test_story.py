"""Two people, from the first post to the last email, with plain forms."""

import re

import pytest

from tests.depth import deep
from tests.mailbox import Mailbox
from tests.sites import Site
from tests.stories import log_in, register
from tests.watching import execute, wait_until_posted


@pytest.mark.alike
@deep
def test_two_people_follow_post_mention_get_emails_and_end_them_with_one_click(
    any_site: Site, mailbox: Mailbox
) -> None:
    susan, david = any_site.browser(), any_site.browser()
    for browser, name in ((susan, "susan"), (david, "david")):
        register(browser, mailbox, name)
        log_in(browser, name)
    susan.post("/letters", data={"mention": "1", "new_follower": "1", "new_sign_in": "1"})

    david.post("/follow/susan")
    susan.post("/", data={"body": "Good morning, everybody."})
    david.post("/", data={"body": "Good morning, @susan!"})
    execute(any_site, "UPDATE outbox_email SET due_at = created_at WHERE state = 'ready'")  # a minute later
    wait_until_posted(any_site)
    emails = [one for one in mailbox.all("susan@example.com") if "david" in one.subject]
    for one in emails:
        link = re.findall(r"<https://blog.example(/unsubscribe/\S+)>", str(one.message["List-Unsubscribe"]))[0]
        any_site.browser().post(link, data={"List-Unsubscribe": "One-Click"})

    assert "Good morning, everybody." in david.get("/").text
    assert 'href="/user/susan"' in susan.get("/user/david").text
    assert sorted(one.subject for one in emails) == [
        "david follows you on Microblog",
        "david mentioned you on Microblog",
    ]
    assert execute(any_site, "SELECT kind FROM email_switch WHERE is_wanted AND kind <> 'new_sign_in'") == []
