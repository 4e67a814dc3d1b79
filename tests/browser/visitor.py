"""Somebody before a real browser: what they do, step by step, and what goes wrong behind their back."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import httpx2
import pytest
import time_machine
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request, expect

from tests.addresses.steps import links
from tests.mailbox import Mailbox, paths_in
from tests.stories import PASSWORD

# Chromium itself puts a line on the console for each answer of 400 or more; our pages mean those.
STATUS_LINE = re.compile(r"Failed to load resource: the server responded with a status of (\d+)")
# And sometimes one for each frame with an email, which holds no script (C59): what drives the browser looks into it.
SANDBOX_LINE = re.compile(r"Blocked script execution in 'http://localhost:\d+/mailbox/")
AXE = Axe().axe_script
VIOLATIONS = "async (options) => (await axe.run(options)).violations"
# The width of the page itself: where the scroll bar's place is kept free on both sides, it is narrower than the window.
SCROLLS = "document.documentElement.scrollWidth - Math.floor(document.documentElement.getBoundingClientRect().width)"
WIDTHS = (1200, 375, 320)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
# In the dark nothing but colours changes. For targets of 24 px (WCAG 2.2, 2.5.8), and for labels in which the words on
# the button are missing (2.5.3), axe looks only when it is told to.
RULES: dict[str, dict[str, Any]] = {
    "light": {"rules": {"target-size": {"enabled": True}, "label-content-name-mismatch": {"enabled": True}}},
    "dark": {"runOnly": ["color-contrast"]},
}
PHONE = "Mozilla/5.0 (Android 15; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0"
# The test runs once with JavaScript and once without.
both_ways = pytest.mark.parametrize("has_javascript", ["script", "noscript"], indirect=True)
PATIENCE = 20_000  # milliseconds, for a busy machine
expect.set_options(timeout=PATIENCE)
HOSTS = tuple(f"host{number}@example.com" for number in range(1, 21))  # in ADMINS; one for each test that wants one
_free_hosts = iter(HOSTS)


def gets_through(send: Callable[[], tuple[int, str]]) -> None:
    """Sends a form; again while a busy machine answers 503, "Nothing is lost; try again.", as people would."""
    for _try in range(20):
        status, page = send()
        if status != 503:
            break
        time.sleep(0.5)
    assert status == 303, page


def send(browser: httpx2.Client, path: str, **fields: str) -> None:
    def send() -> tuple[int, str]:
        answer = browser.post(path, data=fields)
        return answer.status_code, answer.text

    gets_through(send)


class Visitor:
    """A person with a profile, a name and a network of their own."""

    def __init__(
        self, browser: Browser, url: str, mailbox: Mailbox, number: int, has_javascript: bool, **options: Any
    ) -> None:
        self.url = url
        self.mailbox = mailbox
        self.has_javascript = has_javascript
        self._begin(number)
        # While one page fades into the next, a press lands on their pictures, and in a frame Playwright doesn't notice.
        options = {"reduced_motion": "reduce", **options}
        self.context = browser.new_context(
            base_url=url, java_script_enabled=has_javascript, extra_http_headers=self.headers, **options
        )
        self.context.set_default_timeout(PATIENCE)
        self.context.on("page", self._watch)
        self.context.on("request", self._note)
        self.page: Page = self.context.new_page()

    def _begin(self, number: int) -> None:
        self.name = f"susan{number}"
        self.address = f"susan{number}@example.com"
        self.new_address = f"susan{number}@example.net"
        self.headers = {"X-Forwarded-For": f"198.51.{number // 250}.{number % 250 + 1}"}
        self.problems: list[str] = []
        self.looks_about = False
        self.expected = {404, 410, 422, 429}
        self.expected_words: list[str] = []
        self.posts: list[str] = []
        self._trusted: list[str] = []
        self._phone: dict[str, str] = {}

    def makes_room(self, number: int) -> "Visitor":
        """Somebody else sits down at the same browser."""
        self._begin(number)
        self.context.set_extra_http_headers(self.headers)
        return self

    def stands_up(self) -> None:
        """Leaves nothing behind in the browser: no page, no cookie, no permission, nothing typed."""
        for page in self.context.pages[1:]:
            page.close()
        self.page = self.context.pages[0]
        self.context.unroute_all()
        self.page.unroute_all()
        # A page of the site's, since to and from any other the browser starts a process anew.
        self.page.goto(f"{self.url}/robots.txt")
        if self.has_javascript:
            self.page.evaluate("sessionStorage.clear()")  # what was typed and not sent
        self.page.emulate_media(media="null", color_scheme="null")
        self.context.clear_cookies()
        self.context.clear_permissions()

    def leave(self) -> None:
        """Closes the browser."""
        self.context.close()

    def trusts(self, url: str) -> None:
        """Goes to another site on purpose."""
        self._trusted.append(url)

    def quick(self, **options: Any) -> httpx2.Client:
        """Their network without their browser, for what need not be looked at."""
        options = {"base_url": self.url, "headers": self.headers, **options}
        return httpx2.Client(verify=False, **options)  # there is no TLS here, and reading certificates is slow

    # What people do.

    def goto(self, path: str) -> None:
        self.page.goto(path)

    def fill(self, **fields: str) -> None:
        for name, text in fields.items():
            self.page.locator(f":is(input, textarea)[name={name}]").fill(text)

    def press(self, label: str) -> None:
        """Presses the button in the page itself, not the one in its header."""
        self.page.locator("#main").get_by_role("button", name=label, exact=True).click()

    def follow(self, label: str) -> None:
        self.page.locator("#main").get_by_role("link", name=label, exact=True).click()

    def asks_for_account(self) -> None:
        self.goto("/register")
        self.fill(email=self.address)
        self.press("Email me a link")
        self.sees_that_mail_is_coming()

    def has_account(self) -> "Visitor":
        """Registers through the front door, but without looking at the pages on the way. This browser is known."""
        with self.quick() as quick:
            send(quick, "/register", email=self.address)
            link = links(self.mailbox, self.address, "/register/")[0]  # an admin gets other emails, too
            send(quick, link, username=self.name, password=PASSWORD)
            quick.post("/logout")
            self.context.add_cookies([{"name": "browser", "value": quick.cookies["browser"], "url": self.url}])
        return self

    def is_host(self) -> "Visitor":
        """Will have an account with an address in ADMINS."""
        self.address = next(_free_hosts)
        return self

    def has_phone(self) -> None:
        """Logs in in another browser, at which nobody looks."""
        with self.quick(headers={**self.headers, "User-Agent": PHONE}) as phone:
            send(phone, "/login", username=self.name, password=PASSWORD)
            self._phone = dict(phone.cookies)

    def is_logged_in_on_phone(self) -> bool:
        with self.quick(cookies=self._phone) as phone:
            return phone.get("/settings").status_code == 200

    def has_link(self, count: int = 2) -> str:
        """The link of the reset email that this person, who has an account, asked for just so."""
        with self.quick() as quick:
            send(quick, "/reset_password_request", email=self.address)
        return self.mailbox.link(to=self.address, count=count)

    def has_not_me_link(self) -> str:
        """What stands beside the link in such an email, for whom it was not who asked for it."""
        self.has_link()
        email = self.mailbox.last(self.address)
        return next(path for path in paths_in(email.text) if path.startswith("/not_me/"))

    def has_account_at_new_address(self) -> None:
        """Another one, so that this person's can't move there."""
        with self.quick() as quick:
            send(quick, "/register", email=self.new_address)
            link = links(self.mailbox, self.new_address, "/register/")[0]
            send(quick, link, username=f"{self.name}b", password=PASSWORD)

    def is_mentioned(self) -> str:
        """Somebody mentions this person, who has an account, and a minute passes. The link that ends such emails."""
        self.has_account_at_new_address()
        with self.quick() as other:
            send(other, "/login", username=f"{self.name}b", password=PASSWORD)
            send(other, "/", body=f"Hello @{self.name}")
        with time_machine.travel(datetime.now(UTC) + timedelta(seconds=70)):
            return links(self.mailbox, self.address, "/unsubscribe/")[0]

    def is_logged_in(self) -> "Visitor":
        """Has an account, and is logged in in this browser, which shows the home page."""
        self.has_account()
        form: dict[str, str | float | bool] = {"username": self.name, "password": PASSWORD}

        def log_in() -> tuple[int, str]:
            # A kept connection may be closed by the site in the instant in which it is used again.
            answer = self.context.request.post("/login", form=form, max_redirects=0, max_retries=1)
            return answer.status, answer.text()

        gets_through(log_in)
        self.goto("/")
        self.is_at_home()
        return self

    def logs_in(self, password: str = PASSWORD) -> None:
        if "/login" not in self.page.url:
            self.goto("/login")
        self.fill(username=self.name, password=password)
        self.press("Log in")

    def opens_menu(self) -> None:
        self.page.locator(".site-header summary").click()

    def logs_out(self) -> None:
        self.opens_menu()
        self.page.locator(".site-header").get_by_role("button", name="Log out").click()
        expect(self.page).to_have_url(f"{self.url}/login")

    def asks_for_reset(self) -> None:
        self.goto("/reset_password_request")
        self.fill(email=self.address)
        self.press("Email me a link")
        self.sees_that_mail_is_coming()

    def opens_mailbox(self) -> None:
        """By the way that the site offers: the panel's button."""
        self.follow("Open the mailbox")
        expect(self.page).to_have_url(f"{self.url}/mailbox")

    def opens_email(self, count: int = 1) -> None:
        """Opens the newest email to them, once so many have come."""
        self.mailbox.last(self.address, count)
        self.page.reload()
        self.page.locator(".email-row", has_text=self.address).first.click()
        expect(self.page).to_have_url(re.compile(r"/mailbox/\S+"))

    def follows_in_email(self, label: str) -> None:
        """Presses the button in the email, which is shown in a frame."""
        self.page.wait_for_load_state()  # with its frames
        self.page.frame_locator("iframe").first.get_by_role("link", name=label, exact=True).click()

    # What people see.

    def sees_heading(self, text: str) -> None:
        expect(self.page.get_by_role("heading", level=1)).to_have_text(text)

    def sees(self, text: str) -> None:
        expect(self.page.locator("body")).to_contain_text(text)

    def sees_that_mail_is_coming(self) -> None:
        self.sees_heading("Check your email")

    def is_at_home(self) -> None:
        self.sees_heading("Home")
        expect(self.page.get_by_label(f"Your account, {self.name}", exact=True)).to_be_visible()

    def is_stranger(self) -> None:
        self.goto("/")
        expect(self.page.locator(".site-header").get_by_role("link", name="Log in")).to_be_visible()

    def has_no_foreign_markup(self) -> None:
        """Nothing that was typed has become an element or a handler, and no template has calculated with it."""
        markup = "script:not([src]), img:not([src$='icon.svg']), svg:not(.icon, .stamp svg), b:not(.rubber b)"
        foreign = f"{markup}, [onerror], [onfocus], [onload]"
        expect(self.page.locator(f"{foreign}, a[data-hx-get], a[href^='javascript:']")).to_have_count(0)
        expect(self.page.locator("body")).not_to_contain_text(str(7777 * 7777))

    # What nobody sees, but is wrong.

    def wrong_looks(self) -> list[str]:
        """What is wrong with how this page is made, in either colour scheme and at any width."""
        wrong: list[str] = []
        self.page.evaluate(AXE)
        for scheme in SCHEMES:
            self.page.emulate_media(color_scheme=scheme)
            self.page.evaluate("Promise.allSettled(document.getAnimations().map((each) => each.finished))")
            found = self.page.evaluate(VIOLATIONS, {"resultTypes": ["violations"], **RULES[scheme]})
            wrong += [f"{scheme}: {fault['id']}: {fault['nodes'][0]['html']}" for fault in found]
        before = self.page.viewport_size
        for width in WIDTHS:
            self.page.set_viewport_size({"width": width, "height": 700})
            scrolls = self.page.evaluate(SCROLLS)
            wrong += [f"{width} px: scrolls sideways by {scrolls} px"] if scrolls else []
        if before:
            self.page.set_viewport_size(before)
        return wrong

    def _watch(self, page: Page) -> None:
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.problems.append(f"{page.url}: {error}"))
        page.on("dialog", self._refuse)
        page.on("crash", lambda _page: self.problems.append(f"{page.url}: crashed"))

    def _hear(self, message: ConsoleMessage) -> None:
        status = STATUS_LINE.match(message.text)
        is_meant = int(status[1]) in self.expected if status else any(w in message.text for w in self.expected_words)
        is_meant = is_meant or SANDBOX_LINE.match(message.text) is not None
        if message.type in {"error", "warning", "assert"} and not is_meant:
            self.problems.append(f"{self.page.url}: console: {message.text}")

    def _refuse(self, dialog: Dialog) -> None:
        self.problems.append(f"{self.page.url}: dialog: {dialog.message}")
        dialog.dismiss()

    def _note(self, request: Request) -> None:
        if not request.url.startswith((f"{self.url}/", "data:", *self._trusted)):
            self.problems.append(f"{self.page.url}: foreign request: {request.url}")
        if request.method == "POST":
            self.posts.append(request.url)
