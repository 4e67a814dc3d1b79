"""What people do who have an authenticator app, through the front door."""

import re
import time
from dataclasses import dataclass

import pyotp

from tests.sites import Browser
from tests.stories import log_in
from webapp.accounts import sessions, tokens
from webapp.authentication.auth import COOKIE

APP = "/sign-in_methods/app"
HALF_MINUTE = 30  # seconds that each code is shown


@dataclass
class App:
    """An authenticator app on a phone, and the sheet of recovery codes beside it."""

    secret: str
    codes: list[str]

    def code(self, steps: int = 0, *, seconds: float = 1) -> str:
        """What it shows now, or so many half minutes later; an earlier one only while it is good for these seconds."""
        left = HALF_MINUTE - time.time() % HALF_MINUTE
        if steps < 0 and left < seconds:
            time.sleep(left)
        return pyotp.TOTP(self.secret).at(time.time() + HALF_MINUTE * steps)


def scan(page: str) -> App:
    """Reads the set-up page as a phone and a printer do."""
    [secret] = re.findall(r'<code class="secret">([A-Z2-7 ]+)</code>', page)
    return App(secret.replace(" ", ""), re.findall(r"<li><code>([0-9a-z-]{14})</code>", page))


def setup_field(page: str) -> str:
    [sealed] = re.findall(r'name="setup" value="([^"]+)"', page)
    return str(sealed)


def app_page(browser: Browser) -> str:
    """The path that an email would lead to who is logged in there. Only some tests need to wait for that email."""
    state = browser.site.app.state

    async def link() -> str:
        async with state.database.direct() as reading:
            user = await sessions.find(reading, browser.cookies[f"__Host-{COOKIE}"])
        assert user
        return tokens.app_link(state.settings, user.id, user.epoch).removeprefix(state.settings.base_url)

    return str(browser.site.run(link))


def set_up_app(browser: Browser, **more: str) -> App:
    """Sets up an app for whoever is logged in there, with the code of the half minute before, so the next is unused."""
    path = app_page(browser)
    page = browser.get(path).text
    app = scan(page)
    fields = {"setup": setup_field(page), "recovery_code": app.codes[0]}
    answer = browser.post(path, data=fields | {"code": app.code(-1)} | more)
    if answer.status_code == 422:  # on a busy machine the next half minute may begin on the way
        answer = browser.post(path, data=fields | {"code": app.code(-1)} | more)
    assert answer.headers.get("location", answer.url.path) == "/sign-in_methods", answer.text
    return app


def log_in_with(browser: Browser, app: App, steps: int = 0, **more: str) -> str:
    """Both steps; returns the path where one lands."""
    assert log_in(browser).url.path == "/login/second_step"
    return browser.post("/login/second_step", data={"code": app.code(steps), **more}).url.path
