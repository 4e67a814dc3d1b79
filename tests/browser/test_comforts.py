"""What JavaScript adds, and what it must not take away."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from playwright.sync_api import Route, expect

from tests.browser.visitor import PATIENCE, Visitor
from tests.depth import deep
from tests.stories import NEW_PASSWORD, PASSWORD
from webapp import i18n
from webapp.web import templating

pytestmark = pytest.mark.browser

SHOW_TIMES = """moments => {
    for (const moment of moments) {
        const time = document.createElement("time");
        time.dateTime = moment;
        time.dataset.ago = "";
        document.querySelector("main").append(time);
    }
}"""
MOMENTS = [*((month, month, 2 * month - 1) for month in range(1, 13)), (6, 1, 0), (6, 10, 12), (12, 31, 23)]
GATEWAY = "<!doctype html><title>Bad gateway</title><h1>What a proxy says</h1>"


def stays_loaded(visitor: Visitor) -> None:
    """Marks the page, so that `is_still_loaded` can tell whether another was loaded since."""
    visitor.page.evaluate("document.documentElement.dataset.mark = 'here'")


def is_still_loaded(visitor: Visitor) -> bool:
    return bool(visitor.page.evaluate("document.documentElement.dataset.mark === 'here'"))


def test_a_mistake_keeps_what_was_typed_and_leads_to_it(scripted: Visitor) -> None:
    """The form comes back into its place: the first bad field has the focus, and Back leads where it did before."""
    scripted.goto("/login")
    scripted.goto("/register")
    stays_loaded(scripted)
    entries = scripted.page.evaluate("history.length")

    scripted.fill(email="not an address")
    scripted.press("Email me a link")

    field = scripted.page.get_by_label("Email", exact=True)
    scripted.sees("That doesn't look like an email")
    expect(field).to_be_focused()
    expect(field).to_have_value("not an address")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(re.compile("That doesn't look like an email"))
    assert is_still_loaded(scripted)
    assert scripted.page.evaluate("history.length") == entries
    scripted.page.go_back()
    expect(scripted.page).to_have_url(f"{scripted.url}/login")


@deep
@pytest.mark.parametrize(("language", "name"), [("en", "English"), ("ru", "Русский")])
def test_a_page_that_stays_open_counts_on_in_the_words_of_a_new_one(
    scripted: Visitor, language: str, name: str
) -> None:
    """In whole units: what was written three and a half years ago isn't four years old."""
    days = (0.0008, 0.0403, 0.06, 0.9, 1.6, 6.9, 13, 27, 30.2, 45, 60, 200, 364, 366, 1300)
    scripted.page.clock.install()
    scripted.goto("/login")
    scripted.page.get_by_role("button", name=name).click()
    expect(scripted.page.locator("html")).to_have_attribute("lang", language)
    moments = [datetime.now(UTC) - timedelta(days=count) for count in days]
    with i18n.use(language):
        words = [re.sub("<[^>]+>", "", templating.ago(moment)) for moment in moments]
    scripted.page.evaluate(SHOW_TIMES, [moment.isoformat() for moment in moments])

    scripted.page.clock.fast_forward("00:31")

    assert words[-1] == {"en": "3 years ago", "ru": "3\u00a0года назад"}[language]
    assert scripted.page.locator("main time").all_text_contents() == words


@deep
@pytest.mark.parametrize(("language", "name"), [pytest.param("en", "English", marks=deep), ("ru", "Русский")])
@pytest.mark.parametrize("zone", ["America/New_York", pytest.param("Asia/Kathmandu", marks=deep)])
def test_the_exact_time_is_said_as_the_site_says_it_in_the_zone_of_the_reader(
    new_visitor: Callable[..., Visitor], language: str, name: str, zone: str
) -> None:
    """Noon, midnight, each month and the last day of a year."""
    visitor = new_visitor(timezone_id=zone)
    visitor.goto("/login")
    visitor.page.get_by_role("button", name=name).click()
    expect(visitor.page.locator("html")).to_have_attribute("lang", language)
    there = [datetime(2026, month, day, hour, 5, tzinfo=ZoneInfo(zone)) for month, day, hour in MOMENTS]
    visitor.page.evaluate(SHOW_TIMES, [moment.isoformat() for moment in there])

    times = visitor.page.locator("main time")
    times.evaluate_all("times => times.forEach(it => it.dispatchEvent(new Event('pointerover', {bubbles: true})))")

    with i18n.use(language, is_typeset=True):
        pages = [templating.ago(moment.replace(tzinfo=UTC)) for moment in there]
    assert times.evaluate_all("times => times.map(it => it.title)") == [
        re.findall(r'title="(.*)\sUTC"', page)[0] for page in pages
    ]


@deep
def test_the_first_of_several_bad_fields_has_the_focus(scripted: Visitor) -> None:
    scripted.goto("/login")

    scripted.press("Log in")

    expect(scripted.page.get_by_label("Username or email")).to_be_focused()
    expect(scripted.page.locator("[aria-invalid=true]")).to_have_count(2)


def test_after_a_wrong_password_one_can_type_the_right_one_at_once(visitor: Visitor) -> None:
    visitor.goto("/login")
    visitor.fill(username=visitor.name, password="not the password")

    visitor.press("Log in")

    visitor.sees("don't match")
    expect(visitor.page.locator("#password")).to_be_focused()


@pytest.mark.parametrize("path", ["/register", pytest.param("/reset_password_request", marks=deep)])
@deep
def test_the_panel_takes_the_place_of_the_form_without_a_page_load(scripted: Visitor, path: str) -> None:
    scripted.goto(path)
    stays_loaded(scripted)

    scripted.fill(email=scripted.address)
    scripted.press("Email me a link")

    scripted.sees_heading("Check your email")
    expect(scripted.page.get_by_role("heading", level=1)).to_be_focused()
    expect(scripted.page.locator("#main input[name=email]")).to_have_count(0)
    expect(scripted.page).to_have_title("Check your email · Microblog")
    expect(scripted.page).to_have_url(re.compile("/check_email/"))
    assert is_still_loaded(scripted)


@deep
def test_a_fresh_link_is_asked_for_without_a_page_load(scripted: Visitor) -> None:
    link = scripted.has_account().has_link()
    scripted.goto(link)
    scripted.fill(password=NEW_PASSWORD)
    scripted.press("Save the new password")
    scripted.sees("password is changed.")
    scripted.goto(link)
    stays_loaded(scripted)

    scripted.press("Email me a fresh link")

    scripted.sees_that_mail_is_coming()
    assert is_still_loaded(scripted)


@deep
def test_too_often_is_said_in_the_form(scripted: Visitor) -> None:
    scripted.asks_for_reset()
    scripted.follow("Wrong address?")

    scripted.fill(email=scripted.address)
    scripted.press("Email me a link")

    scripted.sees("You can ask again in")
    expect(scripted.page.get_by_label("Username or email")).to_have_value(scripted.address)


def test_the_button_that_sends_again_counts_down_and_then_sends(scripted: Visitor) -> None:
    """Nothing is typed again; a reload keeps the page, and Back leads before it."""
    scripted.page.clock.install()
    scripted.asks_for_reset()
    scripted.page.reload()
    button = scripted.page.get_by_role("button", name="Send it again")
    expect(button).to_have_attribute("aria-disabled", "true")
    expect(button).to_have_text(re.compile(r"Send it again in [01]:\d\d"))
    button.click(force=True)

    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=2)):
        scripted.page.clock.run_for(61_000)
        expect(button).to_have_text("Send it again")
        expect(button).to_have_attribute("aria-disabled", "false")
        with scripted.page.expect_response(re.compile("/check_email/")):
            button.click()
        expect(scripted.page.get_by_role("heading", level=1)).to_be_focused()

    assert len([path for path in scripted.posts if "/check_email/" in path]) == 1
    scripted.page.go_back()
    expect(scripted.page).to_have_url(re.compile("/reset_password_request"))


def test_what_was_typed_stays_in_the_tab_until_it_has_arrived(scripted: Visitor) -> None:
    """Another page and back; and no password is kept."""
    scripted.is_logged_in()
    scripted.page.get_by_label("What's new?").fill("Half a thought")
    scripted.goto("/change_password")
    scripted.fill(current_password=PASSWORD)

    scripted.goto("/")

    expect(scripted.page.get_by_label("What's new?")).to_have_value("Half a thought")
    assert PASSWORD not in scripted.page.evaluate("JSON.stringify(sessionStorage)")


def test_a_mistake_is_no_longer_said_once_it_is_being_mended(scripted: Visitor) -> None:
    scripted.goto(scripted.has_account().has_link())
    scripted.fill(password="short")
    scripted.press("Save the new password")
    scripted.sees("Too short")

    scripted.page.get_by_role("textbox", name="New password").press_sequentially(" but much longer now")

    expect(scripted.page.locator(".field-error")).to_have_count(0)
    expect(scripted.page.get_by_role("textbox", name="New password")).not_to_have_attribute("aria-invalid", "true")


def test_a_double_click_posts_once(scripted: Visitor) -> None:
    scripted.goto("/reset_password_request")
    scripted.fill(email=scripted.address)

    scripted.page.get_by_role("button", name="Email me a link").dblclick()

    scripted.sees_that_mail_is_coming()
    assert len(scripted.posts) == 1


@deep
def test_submitting_twice_in_one_breath_posts_once(scripted: Visitor) -> None:
    scripted.goto("/reset_password_request")
    scripted.fill(email=scripted.address)

    scripted.page.evaluate("for (let n = 0; n < 3; n++) document.querySelector('#main form').requestSubmit()")

    scripted.sees_that_mail_is_coming()
    scripted.page.wait_for_load_state("networkidle")
    assert len(scripted.posts) == 1


@deep
def test_what_is_too_large_is_said_and_the_text_stays(scripted: Visitor) -> None:
    scripted.expected.add(413)
    scripted.goto("/register")
    stays_loaded(scripted)

    scripted.fill(email="x" * 70_000)
    scripted.press("Email me a link")

    expect(scripted.page.get_by_role("status")).to_contain_text("That's more than this site accepts. Try sending less.")
    expect(scripted.page.get_by_label("Email", exact=True)).to_have_value("x" * 70_000)
    assert is_still_loaded(scripted)


@pytest.mark.parametrize("status", [429, *(pytest.param(status, marks=deep) for status in (500, 502, 503))])
@deep
def test_a_failure_before_or_behind_a_proxy_is_said_and_the_text_stays(scripted: Visitor, status: int) -> None:
    scripted.expected.add(status)
    scripted.goto("/register")
    scripted.context.route("**/register", lambda route: route.fulfill(status=status, body=GATEWAY))

    scripted.fill(email=scripted.address)
    scripted.press("Email me a link")

    expect(scripted.page.get_by_role("status")).to_contain_text("That didn't work. Nothing is lost; try again.")
    expect(scripted.page.get_by_label("Email", exact=True)).to_have_value(scripted.address)
    expect(scripted.page.get_by_text("What a proxy says")).to_have_count(0)


def test_without_a_connection_the_text_stays_and_can_be_sent_later(scripted: Visitor) -> None:
    scripted.goto("/register")
    scripted.fill(email=scripted.address)

    def is_dropped(route: Route) -> None:
        route.abort("internetdisconnected")

    scripted.expected_words += ["ERR_INTERNET_DISCONNECTED", "htmx:error"]
    scripted.context.route("**/register", is_dropped)
    scripted.press("Email me a link")
    status = scripted.page.get_by_role("status")
    expect(status).to_contain_text("Can't reach the site. Nothing is lost; try again.")
    expect(scripted.page.get_by_label("Email", exact=True)).to_have_value(scripted.address)

    scripted.context.unroute("**/register", is_dropped)
    scripted.press("Email me a link")

    scripted.sees_heading("Check your email")
    expect(status).to_be_empty()


@pytest.mark.parametrize(
    "page", ["reset_password", *(pytest.param(page, marks=deep) for page in ("login", "finish_registration"))]
)
def test_a_password_can_be_looked_at_and_leaves_as_a_password(scripted: Visitor, page: str) -> None:
    if page == "login":
        scripted.goto("/login")
    elif page == "finish_registration":
        scripted.asks_for_account()
        scripted.goto(scripted.mailbox.link(to=scripted.address))
    else:
        scripted.goto(scripted.has_account().has_link())
    password = scripted.page.locator("input[name=password]")
    expect(password).to_have_attribute("type", "password")

    scripted.fill(password="look")
    scripted.press("Show password")
    expect(password).to_have_attribute("type", "text")
    expect(password).to_have_value("look")
    scripted.press("Hide password")
    expect(password).to_have_attribute("type", "password")

    scripted.press("Show password")
    scripted.page.evaluate(
        "document.addEventListener('submit', (event) => {"
        "  event.preventDefault(); window.left = event.target.elements.password.type;"
        "}, {capture: true})"
    )
    scripted.page.locator("#main form:has(input[name=password]) button[type=submit]").click()
    assert scripted.page.evaluate("window.left") == "password"


@deep
def test_show_password_is_not_offered_where_it_can_not_work(visitor: Visitor) -> None:
    visitor.goto("/login")

    expect(visitor.page.locator(".field-show:visible")).to_have_count(int(visitor.has_javascript))


@deep
def test_success_is_a_real_navigation_for_password_managers(visitor: Visitor) -> None:
    """With JavaScript too: a manager offers to save when the page with the form goes away."""
    visitor.goto(visitor.has_account().has_link())

    with visitor.page.expect_event("domcontentloaded"):
        visitor.fill(password=NEW_PASSWORD)
        visitor.press("Save the new password")
    visitor.sees("password is changed.")
    with visitor.page.expect_event("domcontentloaded"):
        visitor.logs_in(NEW_PASSWORD)

    visitor.is_at_home()


@deep
def test_a_password_manager_finds_its_way(scripted: Visitor) -> None:
    """C48: each form says what its fields are, and nothing forbids pasting into them."""

    def fields() -> list[tuple[str, str, str]]:
        inputs = scripted.page.locator("#main input:not([type=hidden], [type=checkbox], [aria-hidden] *)")
        return [
            (each.get_attribute("id") or "", each.get_attribute("type") or "", each.get_attribute("autocomplete") or "")
            for each in inputs.all()
        ]

    scripted.goto("/login")
    assert fields() == [("username", "text", "username webauthn"), ("password", "password", "current-password")]
    scripted.goto("/register")
    assert fields() == [("email", "email", "email")]
    scripted.asks_for_account()
    scripted.goto(scripted.mailbox.link(to=scripted.address))
    assert fields() == [("username", "text", "username"), ("password", "password", "new-password")]
    scripted.fill(username=scripted.name, password=PASSWORD)
    scripted.press("Register")
    scripted.sees("Welcome")
    scripted.goto(scripted.has_link())
    assert fields() == [("username", "text", "username"), ("password", "password", "new-password")]
    account = scripted.page.get_by_role("textbox", name="Account")
    expect(account).to_have_value(scripted.name)
    expect(account).not_to_be_editable()
    scripted.page.get_by_role("textbox", name="New password").focus()
    scripted.page.keyboard.insert_text(NEW_PASSWORD)
    expect(scripted.page.get_by_role("textbox", name="New password")).to_have_value(NEW_PASSWORD)


@deep
def test_new_emails_appear_in_the_open_mailbox(scripted: Visitor) -> None:
    scripted.goto("/mailbox")
    stays_loaded(scripted)

    scripted.has_account()

    expect(scripted.page.locator(".email-row", has_text=scripted.address)).to_be_visible(timeout=PATIENCE)
    assert is_still_loaded(scripted)


@deep
def test_the_mailbox_leaves_the_reader_where_they_are(scripted: Visitor) -> None:
    """A list that looks again every few seconds must not take the focus away."""
    scripted.has_account()
    scripted.goto("/mailbox")
    row = scripted.page.locator(".email-row", has_text=scripted.address)
    row.focus()

    with scripted.page.expect_response(f"{scripted.url}/mailbox", timeout=PATIENCE):
        pass
    scripted.page.wait_for_load_state("networkidle")

    expect(row).to_be_focused()


@deep
def test_the_keyboard_alone_is_enough(visitor: Visitor) -> None:
    visitor.has_account()
    visitor.goto("/login")

    visitor.page.get_by_label("Username or email").focus()
    visitor.page.keyboard.type(visitor.name)
    visitor.page.keyboard.press("Tab")
    visitor.page.keyboard.type(PASSWORD)
    visitor.page.keyboard.press("Enter")

    visitor.is_at_home()


@deep
def test_the_first_stop_of_the_keyboard_leads_past_the_header(visitor: Visitor) -> None:
    visitor.goto("/login")

    visitor.page.keyboard.press("Tab")
    expect(visitor.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    visitor.page.keyboard.press("Enter")
    visitor.page.keyboard.press("Tab")

    expect(visitor.page.get_by_label("Username or email")).to_be_focused()


@pytest.mark.parametrize("has_javascript", ["script", pytest.param("noscript", marks=deep)], indirect=True)
@deep
def test_a_double_click_shows_what_the_first_press_did(visitor: Visitor) -> None:
    """One email, and no word of having to wait for another."""
    visitor.goto("/register")
    visitor.fill(email=visitor.address)

    visitor.page.locator("#main").get_by_role("button", name="Email me a link").dblclick()

    visitor.sees_that_mail_is_coming()
    expect(visitor.page.get_by_text("You can ask again in")).to_have_count(0)
    assert len(visitor.mailbox.all(visitor.address)) <= 1
    assert visitor.mailbox.link(to=visitor.address)


# Each page with a text to type, but that where one's own name is typed as a proof.
TYPED = {
    "/login": ["username"],
    "/register": ["email"],
    "/reset_password_request": ["email"],
    "/recover": ["username"],
    "/": ["body"],
    "/edit_profile": ["username", "about_me"],
    "/change_email": ["email"],
}


@deep
def test_whatever_is_typed_into_any_form_is_there_after_a_reload(scripted: Visitor) -> None:
    found: dict[str, list[str]] = {}
    for path, names in TYPED.items():
        if path == "/":
            scripted.is_logged_in()
        scripted.goto(path)
        form = scripted.page.locator("#main form[method=post]")
        for name in names:
            form.locator(f"[name={name}]").first.fill(f"typed into {name}")
        scripted.page.reload()
        found[path] = [form.locator(f"[name={name}]").first.input_value() for name in names]

    scripted.logs_out()  # and leaves nothing of it to the next one
    assert found == {path: [f"typed into {name}" for name in names] for path, names in TYPED.items()}
    assert scripted.page.evaluate("sessionStorage.length") == 0


@deep
def test_what_was_saved_is_not_taken_for_a_draft(scripted: Visitor) -> None:
    """About me has a text of before, which what was typed replaces: it is neither doubled nor brought back."""
    scripted.is_logged_in()
    about = scripted.page.locator("[name=about_me]")
    for words in ("I watch herons.", "I watch storks."):
        scripted.goto("/edit_profile")
        about.fill(words)
        scripted.press("Save")
        scripted.sees("Profile saved.")
        scripted.goto("/edit_profile")
        expect(about).to_have_value(words)
    about.fill("Neither")

    scripted.goto("/edit_profile")
    expect(about).to_have_value("Neither")
    scripted.press("Another picture")

    scripted.sees("Here's your new picture.")
    expect(about).to_have_value("Neither")
