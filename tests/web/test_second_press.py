"""A form that is pressed twice without scripts: the second press shows what the first did."""

import re
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import timedelta
from html.parser import HTMLParser
from itertools import islice
from threading import Event
from typing import Any

import pytest
import time_machine
from httpx2 import Response
from starlette.routing import Route

from tests.depth import deep, one_in, some
from tests.factors.steps import APP, app_page, scan, set_up_app, setup_field
from tests.mailbox import PATIENCE, Mailbox, paths_in
from tests.people.crowd import import_people
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, PASSWORD, forget_and_find_link, is_logged_in, log_in
from tests.watching import dump, execute, wait_until_posted
from webapp.accounts import tokens
from webapp.accounts.tokens import Purpose
from webapp.database.cleanup import CleanupTask
from webapp.settings import ROOT, Settings
from webapp.web import form_answers, forms, second_press
from webapp.web.form_answers import FormAnswer


class Forms(HTMLParser):
    """The forms of a page that change something: where each goes, and what it sends as it is."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self._is_inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        if tag == "form":
            self._is_inside = values.get("method") == "post"
            if self._is_inside:
                self.found.append((values["action"], {}))
        elif self._is_inside and values.get("name") and (values.get("type") != "checkbox" or "checked" in values):
            self.found[-1][1].setdefault(values["name"], values.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        self._is_inside = self._is_inside and tag != "form"


def form_on(browser: Browser, page: str, action: str = "", **typed: str) -> tuple[str, dict[str, str]]:
    """The form of a page, filled in."""
    forms = Forms(browser.get(page).text).found
    path, fields = next(form for form in forms if form[0] == (action or page))
    return path, {**fields, **typed}


def press(browser: Browser, form: tuple[str, dict[str, str]]) -> Response:
    path, data = form
    return browser.post(path, data=data, follow_redirects=False)


def browser_like(browser: Browser, site: Site) -> Browser:
    """The same browser, at a process of its own."""
    other = site.browser(browser.headers["x-forwarded-for"])
    other.cookies.update(browser.cookies)
    return other


def press_at_once(sites: list[Site], browser: Browser, form: tuple[str, dict[str, str]]) -> list[Response]:
    """As several of the same browser; it goes on with the cookies of the last."""
    browsers = [browser_like(browser, site) for site in sites]
    with ThreadPoolExecutor(len(browsers)) as pool:
        answers = list(pool.map(lambda each: press(each, form), browsers))
    browser.cookies.clear()
    browser.cookies.update(browsers[-1].cookies)
    return answers


def shown(answer: Response) -> tuple[int, str, list[str]]:
    return answer.status_code, answer.headers.get("location", ""), sorted(answer.headers.get_list("set-cookie"))


def are_alike(answers: list[Response]) -> bool:
    first, *others = [shown(answer) for answer in answers]
    return first[0] == 303 and all(other == first for other in others)


@dataclass
class Village:
    """A site with susan, who is its admin and logged in, and peter, who has posted something and reported her post."""

    site: Site
    mailbox: Mailbox
    susan: Browser
    stranger: Browser

    def token(self, purpose: Purpose, subject: object, **more: Any) -> str:
        return tokens.issue(self.site.settings, purpose, subject, timedelta(hours=1), **more)  # type: ignore[arg-type]


@pytest.fixture
def village(make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[..., Site]) -> Village:
    return settled(start_site(make_settings(database_url=sqlite_url, admins=("susan@example.com",), member_invites=3)))


@pytest.fixture
def any_village(make_settings: Callable[..., Settings], database_url: str, start_site: Callable[..., Site]) -> Village:
    """On each kind of database in turn."""
    return settled(start_site(make_settings(database_url=database_url, admins=("susan@example.com",))))


def settled(site: Site) -> Village:
    site.app.state.new_form_id = forms.new_id
    import_people(site, "susan", "peter")
    susan, peter = site.browser(), site.browser()
    log_in(susan)
    log_in(peter, "peter")
    susan.post("/", data={"body": "The first."})
    peter.post("/", data={"body": "The second."})
    peter.post("/posts/1/report", data={"reason": "Because"})
    assert site.mailbox
    return Village(site, site.mailbox, susan, site.browser())


Pressed = tuple[Browser, tuple[str, dict[str, str]]]
Story = Callable[[Village], Pressed]


def by_susan(page: str, action: str = "", **typed: str) -> Story:
    return lambda village: (village.susan, form_on(village.susan, page, action, **typed))


def by_a_stranger(page: str, action: str = "", **typed: str) -> Story:
    return lambda village: (village.stranger, form_on(village.stranger, page, action, **typed))


def behind(path: str, purpose: Purpose, subject: object, action: str = "", **typed: str) -> Story:
    """The form behind a link."""

    def story(village: Village) -> Pressed:
        link = f"{path}/{village.token(purpose, subject, epoch=0)}"
        return village.stranger, form_on(village.stranger, link, f"{link}{action}", **typed)

    return story


def finishing(village: Village) -> Pressed:
    village.stranger.post("/register", data={"email": "new@example.com"})
    link = village.mailbox.link("new@example.com")
    return village.stranger, form_on(village.stranger, link, username="newcomer", password=PASSWORD)


def asking_again(village: Village) -> Pressed:
    page = village.stranger.post("/register", data={"email": "new@example.com"}).url.path
    execute(village.site, "DELETE FROM limit_window")
    return village.stranger, form_on(village.stranger, page)


def typing_the_code(village: Village) -> Pressed:
    page = village.stranger.post("/register", data={"email": "new@example.com"}).url.path
    [code] = re.findall(r"\b\d{4} ?\d{4}\b|\b\d{6}\b", village.mailbox.last("new@example.com").text)
    return village.stranger, form_on(village.stranger, page, f"{page}/code", code=code)


def resetting(village: Village) -> Pressed:
    return village.stranger, form_on(
        village.stranger, forget_and_find_link(village.stranger, village.mailbox), password=NEW_PASSWORD
    )


def confirming_the_address(village: Village) -> Pressed:
    village.susan.post("/change_email", data={"current_password": PASSWORD, "email": "new@example.com"})
    return village.susan, form_on(village.susan, village.mailbox.link("new@example.com"))


def undoing_the_address(village: Village) -> Pressed:
    browser, form = confirming_the_address(village)
    press(browser, form)
    return village.stranger, form_on(village.stranger, undoing_link(village))


def restoring(village: Village) -> Pressed:
    page = village.susan.post("/posts/1/delete")
    form = next(form for form in Forms(page.text).found if form[0] == "/posts/1/restore")
    return village.susan, form


def ending_another_session(village: Village) -> Pressed:
    log_in(village.stranger)
    form = next(form for form in Forms(village.susan.get("/sessions").text).found if form[0].endswith("/end"))
    return village.susan, form


def undoing_the_deletion(village: Village) -> Pressed:
    village.susan.post("/delete_account", data={"username": "susan", "current_password": PASSWORD})
    return village.stranger, form_on(village.stranger, undoing_link(village))


def undoing_link(village: Village) -> str:
    wait_until_posted(village.site)
    emails = village.mailbox.all("susan@example.com")
    return next(path for email in emails for path in paths_in(email.text) if path.startswith("/undo_"))


def adding_the_app(village: Village) -> Pressed:
    path = app_page(village.susan)
    page = village.susan.get(path).text
    app = scan(page)
    typed = {"setup": setup_field(page), "code": app.code(-1, seconds=10), "recovery_code": app.codes[0]}
    return village.susan, next((to, fields | typed) for to, fields in Forms(page).found if to == path)


def removing_the_app(village: Village) -> Pressed:
    app = set_up_app(village.susan)
    return village.susan, form_on(village.susan, f"{APP}/remove", code=app.code(), current_password=PASSWORD)


def showing_the_second_step(village: Village) -> Pressed:
    app = set_up_app(village.susan)
    log_in(village.stranger)
    return village.stranger, form_on(village.stranger, "/login/second_step", code=app.code())


def having_lost_the_second_step(village: Village) -> Pressed:
    set_up_app(village.susan)
    log_in(village.stranger)
    return village.stranger, form_on(village.stranger, "/login/second_step", "/login/lost_second_step")


def checking_the_app(village: Village) -> Pressed:
    app = set_up_app(village.susan)
    return village.susan, form_on(village.susan, "/checkup", "/checkup/app", code=app.code())


STORIES: dict[str, Story] = {
    "home": by_susan("/", body="Said once"),
    "reply": by_susan("/posts/2/reply", body="Said once"),
    "edit_post": by_susan("/posts/1/edit", body="Said otherwise"),
    "delete_post": by_susan("/user/susan/1", "/posts/1/delete"),
    "restore_post": restoring,
    "login": by_a_stranger("/login", username="susan", password=PASSWORD),
    "second_step": showing_the_second_step,
    "lost_second_step": having_lost_the_second_step,
    "logout": by_susan("/settings", "/logout"),
    "register": by_a_stranger("/register", email="new@example.com"),
    "finish_registration": finishing,
    "check_email": asking_again,
    "email_code": typing_the_code,
    "reset_password_request": by_a_stranger("/reset_password_request", email="susan"),
    "reset_password": resetting,
    "language": by_a_stranger("/login", "/language", language="ru"),
    "edit_profile": by_susan("/edit_profile", username="susanna", current_password=PASSWORD),
    "change_password": by_susan("/change_password", current_password=PASSWORD, password=NEW_PASSWORD),
    "email_app_link": by_susan(APP),
    "authenticator_app": adding_the_app,
    "remove_authenticator_app": removing_the_app,
    "checkup_app": checking_the_app,
    "send_checkup_email": by_susan("/checkup", "/checkup/send"),
    "checkup_email": behind("/checkup_email", Purpose.CHECKUP, 1),
    "invites": by_susan("/invites", name="a friend", places="1", days="7"),
    "change_email": by_susan("/change_email", current_password=PASSWORD, email="new@example.com"),
    "confirm_email": confirming_the_address,
    "undo_email": undoing_the_address,
    "end_other_sessions": by_susan("/sessions", "/sessions/end_others"),
    "end_session": ending_another_session,
    "delete_account": by_susan("/delete_account", username="susan", current_password=PASSWORD),
    "undo_deletion": undoing_the_deletion,
    "emails": by_susan("/letters"),
    "follow": by_susan("/user/peter", "/follow/peter"),
    "mute": by_susan("/user/peter", "/mute/peter"),
    "block": by_susan("/block/peter"),
    "report": by_susan("/posts/2/report", reason="Because"),
    "keep_post": by_susan("/admin/reports", "/admin/reports/1/keep"),
    "remove_post": by_susan("/admin/reports/1/remove", reason="Because"),
    "pause_mail": by_susan("/admin/mail", "/admin/mail/pause"),
    "act_on_person": by_susan("/admin/people/peter/disable", reason="Because"),
}

# Theirs is no 303: what they show is true again.
NOT_KEPT = {
    "recovery_codes": "each press makes new codes, and what is shown are the ones that count",
    "unsubscribe": "says again what is so",
    "subscribe_again": "says again what is so",
    "download_export": "is downloaded again",
    "upload_archive": "the second is answered as the first: tests/archive_imports",
}
NEED_A_DEVICE = {"log_in_with_passkey", "passkeys", "checkup_passkey"}
# Like one of the stories in all that matters here: a button, or a form with a password.
LIKE_OTHERS = {
    "export": "change_email",
    "import_posts": "change_email",
    "revoke_invite": "follow",
    "invitation": "register",
    "unfollow": "follow",
    "unmute": "mute",
    "unblock": "mute",
    "another_picture": "follow",
    "resume_mail": "pause_mail",
    "send_mail_again": "pause_mail",
    "address_works_again": "pause_mail",
    "disable_user": "remove_post",
    "approve_request": "keep_post",
    "refuse_request": "remove_post",
    "email_works": "follow",
    "stop_factor_removal": "follow",
    "decline_passkey": "follow",
    "decline_checkup": "follow",
    "passkey": "edit_profile",
    "remove_passkey": "change_password",
    "checkup": "checkup_app",
    "recover": "reset_password",
    "renew_reset_link": "reset_password_request",
    "email_reset_link": "reset_password_request",
    "email_removal_link": "lost_second_step",
    "report_not_me": "undo_email",
    "factor_removal": "undo_email",
    "keep_factors": "undo_email",
}
NO_FORM = {"bounces"}


def test_every_route_that_takes_a_form_is_pressed_twice_or_says_why_not(village: Village) -> None:
    taken = [route for route in village.site.app.routes if isinstance(route, Route)]
    taking = {route.name for route in taken if "POST" in (route.methods or ())}

    assert taking == STORIES.keys() | NOT_KEPT.keys() | NEED_A_DEVICE | LIKE_OTHERS.keys() | NO_FORM
    assert set(LIKE_OTHERS.values()) <= STORIES.keys()


@pytest.mark.parametrize("name", STORIES)
@one_in(40)
def test_of_two_presses_in_a_row_the_second_shows_what_the_first_did(village: Village, name: str) -> None:
    browser, form = STORIES[name](village)
    before = dict(browser.cookies)

    first = press(browser, form)
    wait_until_posted(village.site)
    was = dump(village.site)
    second = press(browser, form)  # with the cookies of the first answer, which a browser may have taken already
    browser.cookies.clear()
    browser.cookies.update(before)
    third = press(browser, form)  # and with those of before

    assert are_alike([first, second, third])
    assert dump(village.site) == was


AT_ONCE = ["home", "register", "login", "reset_password", "finish_registration", "reset_password_request"]
AT_ONCE += ["change_password", "confirm_email", "edit_profile", "follow"]


@pytest.mark.parametrize("name", some(AT_ONCE, 3))
@deep
def test_of_two_presses_at_once_one_is_worked_on(any_village: Village, name: str) -> None:
    browser, form = STORIES[name](any_village)
    wait_until_posted(any_village.site)
    before = {table: len(rows) for table, rows in dump(any_village.site).items()}
    emails = len(any_village.mailbox.all())

    answers = press_at_once([any_village.site] * 2, browser, form)
    wait_until_posted(any_village.site)

    assert are_alike(answers)
    grown = {table: len(rows) - before[table] for table, rows in dump(any_village.site).items()}
    assert max(grown[table] for table in ("post", "session", "user_account", "follow", "outbox_email")) <= 1, grown
    assert len(any_village.mailbox.all()) - emails <= 1
    assert browser.get(answers[1].headers["location"]).status_code == 200


@deep
def test_of_many_presses_on_several_processes_one_is_worked_on(
    any_village: Village, start_site: Callable[[Settings], Site]
) -> None:
    other, (browser, form) = start_site(any_village.site.settings), STORIES["home"](any_village)

    answers = press_at_once([any_village.site, other] * 4, browser, form)

    assert are_alike(answers)
    assert execute(any_village.site, "SELECT count(*) FROM post WHERE body = 'Said once'") == [(1,)]


@deep
def test_of_very_many_presses_only_the_last_few_wait(village: Village) -> None:
    """Each that waits asks the database again and again; a thousand kept SQLite busy for minutes."""
    (browser, form), is_hashing, may_go_on = STORIES["login"](village), Event(), Event()

    def take_long(_run: str) -> None:
        is_hashing.set()
        may_go_on.wait(PATIENCE)

    village.site.argon2.meanwhile = take_long
    pressing = ThreadPoolExecutor(second_press.MOST_WAITING + 5)

    def begin() -> Future[Response]:
        return pressing.submit(press, browser_like(browser, village.site), form)

    with pressing:
        first = begin()
        is_hashing.wait(PATIENCE)
        others = [begin() for _press in range(second_press.MOST_WAITING + 4)]
        refused = list(islice(as_completed(others), 4))
        are_waiting = not first.done()
        may_go_on.set()

    assert are_waiting
    assert [each.result().status_code for each in refused] == [429] * 4
    assert are_alike([first.result(), *(each.result() for each in others if each not in refused)])


def test_a_mistake_is_told_each_time(village: Village) -> None:
    form = form_on(village.stranger, "/login", username="susan", password="not the right password")
    answers = [press(village.stranger, form) for _time in range(2)]

    assert [answer.status_code for answer in answers] == [422, 422]
    assert rows_kept(village.site) == []


def test_what_is_done_again_on_purpose_is_done_again(village: Village) -> None:
    """From a new page, with other words, in another browser, and with scripts, which press once by themselves."""
    susan, elsewhere = village.susan, browser_like(village.susan, village.site)
    path, old = form_on(susan, "/", body="again")
    _path, new = form_on(susan, "/", body="again")
    elsewhere.headers["user-agent"] = "another browser"

    for browser, fields in [(susan, old), (susan, new), (susan, {**old, "body": "again!"}), (elsewhere, old)]:
        press(browser, (path, fields))
    execute(village.site, "DELETE FROM limit_window")
    susan.post(path, data=old, headers={"hx-request": "true"})

    assert execute(village.site, "SELECT count(*) FROM post WHERE body LIKE 'again%'") == [(5,)]


@deep
def test_an_answer_ends_with_the_session_that_it_opened(village: Village) -> None:
    """C68: after a log-out or a reset the same press is a new one; it is no way back in."""
    browser, form = STORIES["login"](village)
    press(browser, form)
    browser.post("/logout")
    again = press(browser, form)
    assert is_logged_in(browser), "the password is still right"

    reset = forget_and_find_link(village.site.browser(), village.mailbox)
    village.site.browser().post(reset, data={"password": NEW_PASSWORD})
    after = press(browser, form)

    assert (again.status_code, after.status_code) == (303, 422)
    assert not is_logged_in(browser)


def test_a_stolen_id_tells_nothing(village: Village) -> None:
    """Only the same browser with the same words gets the answer: to others it is a form like any."""
    browser, (path, fields) = STORIES["login"](village)
    first = press(browser, (path, fields))
    thief = village.site.browser()

    guessed = press(thief, (path, {**fields, "password": "a guess of the thief"}))
    known = press(thief, (path, fields))

    assert guessed.status_code == 422
    assert shown(known) != shown(first), "whoever has the password has a session of their own"


def test_a_copy_of_the_table_opens_nothing_and_it_is_emptied(village: Village) -> None:
    browser, form = STORIES["login"](village)
    press(browser, form)
    secret = next(value for name, value in browser.cookies.items() if name.endswith("session"))

    [(key, answer)] = rows_kept(village.site)
    assert not any(word in key + answer for word in (form[1]["form_id"], secret, "location", "susan"))
    with time_machine.travel(time.time() + 61, tick=False):
        village.site.run(CleanupTask(FormAnswer, form_answers.outdated).run_batch, village.site.app.state.database)
    assert rows_kept(village.site) == []


def test_a_first_press_that_was_cut_off_holds_nobody_up_for_long(village: Village) -> None:
    browser, form = STORIES["register"](village)
    press(browser, form)
    execute(village.site, "UPDATE form_answer SET answer = '', began = began - 20")

    assert press(browser, form).status_code == 429, "it counts as a press of its own"


@pytest.mark.parametrize("who", ["stranger", "susan"])
@deep
def test_nobody_fills_the_table_with_what_is_not_counted(village: Village, who: str) -> None:
    """A stranger's script wrote 300 rows a second into it: each page that asks to log in was an answer to keep."""
    filling, routes = [], [each for each in village.site.app.routes if isinstance(each, Route)]
    for route in [each for each in routes if "POST" in (each.methods or ())]:
        if route.name == "logout" and who == "susan":
            continue  # once for each log-in, which is counted
        values = {"token": "x", "id": "1", "username": "peter", "action": "disable"}
        path = route.url_path_for(route.name, **{name: values.get(name, 1) for name in route.param_convertors})
        execute(village.site, "DELETE FROM limit_window")
        execute(village.site, "DELETE FROM form_answer")
        press(getattr(village, who), (path, {"form_id": forms.new_id(), "language": "en", "body": "x"}))
        if rows_kept(village.site) and not execute(village.site, "SELECT 1 FROM limit_window"):
            filling.append(route.name)

    assert filling == []


def test_htmx_sends_each_form_once_however_often_it_is_pressed() -> None:
    tags = re.compile(r"<form[^%>]*(?:\{[{%].*?[%}]\}[^%>]*)*>|posts_to\(url\).*?endmacro", re.DOTALL)
    files = (ROOT / "templates").rglob("*.html")
    sending = [tag for file in files for tag in tags.findall(file.read_text()) if "hx-post" in tag]

    assert len(sending) > 3
    assert [tag for tag in sending if 'data-hx-sync="this:drop"' not in tag] == []


def rows_kept(site: Site) -> list[tuple[Any, ...]]:
    return execute(site, "SELECT key, answer FROM form_answer")
