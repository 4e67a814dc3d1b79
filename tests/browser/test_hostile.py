"""What people with bad intentions type, send and host."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import Visitor
from tests.depth import deep, one_in
from tests.stories import NEW_PASSWORD, PASSWORD

pytestmark = pytest.mark.browser

HOSTILE = [
    "\"'></textarea></title></script><script>alert(1)</script><img src=x onerror=alert(1)><svg onload=alert(1)>",
    "' autofocus onfocus=alert(1) x=\" autofocus onfocus=alert(1) &lt;b&gt;&#60;b&#62;",
    "javascript:alert(1)//{{ 7777*7777 }}{% raw %}${7777*7777}<a data-hx-get=/logout data-hx-trigger=load>x</a>",
]
# One after the other, each breaks out of what it stands in; and, deeply, each by itself.
TYPED = pytest.mark.parametrize("text", ["".join(HOSTILE), *(pytest.param(text, marks=deep) for text in HOSTILE)])
HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("localhost", marks=deep)])


class OtherSite:
    """A site of somebody else's, on another port: one page whose form posts where its writer likes."""

    def __init__(self, page: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(page.encode())

            def log_message(self, format: str, *arguments: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def other_site() -> Iterator[Callable[[str], OtherSite]]:
    opened_at: list[OtherSite] = []

    def serve(page: str) -> OtherSite:
        opened_at.append(OtherSite(page))
        return opened_at[-1]

    yield serve
    for site in opened_at:
        site.close()


@HOSTS
@deep
def test_another_site_can_not_log_anybody_in(
    visitor: Visitor, other_site: Callable[[str], OtherSite], host: str
) -> None:
    """C30: from another port (the same site to a browser) and from another host, with the right password."""
    visitor.expected |= {403}
    visitor.has_account()
    other = other_site(
        f'<!doctype html><link rel="icon" href="data:,"><form method="post" action="{visitor.url}/login">'
        f'<input name="username" value="{visitor.name}"><input name="password" value="{PASSWORD}"><button>Win</button>'
    )
    visitor.trusts(f"http://{host}:{other.port}/")

    visitor.goto(f"http://{host}:{other.port}/")
    visitor.page.get_by_role("button", name="Win").click()

    visitor.sees("That form was sent from another site, so it was refused.")
    assert visitor.posts == [f"{visitor.url}/login"]
    visitor.is_stranger()


@HOSTS
@deep
def test_another_site_can_not_log_anybody_out(
    visitor: Visitor, other_site: Callable[[str], OtherSite], host: str
) -> None:
    """C29"""
    visitor.expected |= {403}
    visitor.is_logged_in()
    other = other_site(
        f'<!doctype html><link rel="icon" href="data:,"><form method="post" action="{visitor.url}/logout">'
        "<button>Win</button>"
    )
    visitor.trusts(f"http://{host}:{other.port}/")

    visitor.goto(f"http://{host}:{other.port}/")
    visitor.page.get_by_role("button", name="Win").click()

    visitor.sees("That form was sent from another site, so it was refused.")
    visitor.goto("/")
    visitor.is_at_home()


@pytest.mark.parametrize("path", ["/login", pytest.param("/mailbox", marks=deep)])
def test_no_other_site_can_show_ours_in_a_frame(
    scripted: Visitor, other_site: Callable[[str], OtherSite], path: str
) -> None:
    """C37"""
    other = other_site(f'<!doctype html><link rel="icon" href="data:,"><iframe src="{scripted.url}{path}"></iframe>')
    scripted.trusts(f"http://127.0.0.1:{other.port}/")

    scripted.goto(f"http://127.0.0.1:{other.port}/")
    scripted.page.wait_for_load_state("networkidle")

    expect(scripted.page.frame_locator("iframe").first.locator("#main")).to_have_count(0)
    assert any("frame-ancestors" in fault for fault in scripted.problems)
    scripted.problems.clear()


@TYPED
@deep
def test_what_is_typed_comes_back_as_text(visitor: Visitor, text: str) -> None:
    """C38: in every field of every form that a stranger can open."""
    visitor.goto("/login")
    visitor.fill(username=text, password=text[:250])
    visitor.press("Log in")
    visitor.sees("don't match")
    expect(visitor.page.locator("input[name=username]")).to_have_value(text)
    visitor.follow("Forgot your password?")
    expect(visitor.page.locator("input[name=email]")).to_have_value(text)
    visitor.press("Email me a link")
    visitor.sees("Type your username or your email.")
    expect(visitor.page.locator("input[name=email]")).to_have_value(text)

    visitor.goto("/register")
    visitor.fill(email=text)
    visitor.press("Email me a link")
    visitor.sees("doesn't look like an email")
    expect(visitor.page.locator("input[name=email]")).to_have_value(text)

    visitor.has_no_foreign_markup()


@TYPED
@deep
def test_what_is_typed_behind_a_link_comes_back_as_text(visitor: Visitor, text: str) -> None:
    """C38"""
    visitor.asks_for_account()
    link = visitor.mailbox.link(to=visitor.address)
    visitor.goto(link)
    visitor.fill(username=text, password=PASSWORD)
    visitor.press("Register")
    visitor.sees("Use 3 to 30 letters")
    expect(visitor.page.locator("input[name=username]")).to_have_value(text)
    visitor.has_no_foreign_markup()

    visitor.fill(username=visitor.name, password=PASSWORD)
    visitor.press("Register")
    visitor.sees("Welcome")
    visitor.goto(visitor.has_link())
    visitor.fill(password=text[:11])
    visitor.press("Save the new password")
    visitor.sees("Too short")
    visitor.has_no_foreign_markup()


@deep
def test_a_hostile_address_is_text_in_pages_emails_and_the_mailbox(visitor: Visitor) -> None:
    """C38: all of these signs are allowed in an address (RFC 5322, atext)."""
    visitor.address = f"{{{{7777*7777}}}}&lt'`{{%raw%}}{visitor.name}@example.com"
    visitor.asks_for_account()
    visitor.sees(f"We've just emailed {visitor.address}.")
    visitor.opens_mailbox()
    visitor.opens_email()
    visitor.sees(visitor.address)
    visitor.follows_in_email("Register")
    visitor.sees(visitor.address)
    visitor.fill(username=visitor.name, password=NEW_PASSWORD)
    visitor.press("Register")
    visitor.sees("Welcome")
    visitor.is_at_home()

    visitor.goto("/settings")
    visitor.sees(visitor.address)
    visitor.has_no_foreign_markup()


@deep
def test_what_a_browser_calls_itself_is_text(new_visitor: Callable[..., Visitor]) -> None:
    """C38: in the list of sessions, and in the email that tells of a new one."""
    victim, elsewhere = (new_visitor(user_agent=" ".join(HOSTILE)) for _browser in range(2))
    victim.is_logged_in()
    elsewhere.name, elsewhere.address = victim.name, victim.address
    elsewhere.logs_in()
    elsewhere.is_at_home()

    elsewhere.goto("/sessions")
    elsewhere.sees_heading("Sessions")
    elsewhere.has_no_foreign_markup()
    elsewhere.goto("/mailbox")
    elsewhere.opens_email(count=2)
    elsewhere.sees("A new log-in to your account")
    elsewhere.has_no_foreign_markup()


@pytest.mark.parametrize("path", ["/{}", "/login?next={}", "/reset_password_request?email={}", "/reset_password/{}"])
@TYPED
@one_in(4)
def test_what_stands_in_the_address_bar_is_shown_as_text(scripted: Visitor, path: str, text: str) -> None:
    """C38"""
    scripted.page.goto(path.format(text.replace("/", "%2F").replace("#", "%23").replace("&", "%26")))

    scripted.has_no_foreign_markup()
    if "email" in path:
        expect(scripted.page.locator("input[name=email]")).to_have_value(text)
