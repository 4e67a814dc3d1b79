"""A code is used once, on whichever forms it is sent at the same moment (C17). Whoever adds a form names it here."""

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.depth import deep
from tests.factors.steps import App, set_up_app
from tests.mailbox import Mailbox
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, PASSWORD, forget_and_find_link, is_logged_in, log_in, register
from tests.watching import execute
from webapp.settings import ROOT

Press = Callable[[str], bool]  # sends a code; whether it was taken
PROOF = {"current_password": PASSWORD}


def logging_in(browser: Browser) -> Press:
    browser.post("/logout")
    assert log_in(browser).url.path == "/login/second_step"

    def press(code: str) -> bool:
        browser.post("/login/second_step", data={"code": code})
        return is_logged_in(browser)

    return press


def form(path: str, words: str, **fields: str) -> Callable[[Browser], Press]:
    """Of somebody who is logged in: where it is, and what is said when the code was taken."""
    return lambda browser: lambda code: words in browser.post(path, data=fields | {"code": code}).text


FORMS = {
    "the log-in": logging_in,
    "a page that asks who it is": form("/letters", "Saved.", digest="1", new_sign_in="1", **PROOF),
    "removing the app": form("/sign-in_methods/app/remove", "The authenticator app is removed.", **PROOF),
    "new recovery codes": form("/recovery_codes", "Your recovery codes", **PROOF),
}
OF_THE_APP = {"the check-up": form("/checkup/app", "Your authenticator app works.")}
OF_THE_SHEET = {"instead of the password": form("/recover", "Choose a new password", username="susan")}
CASES = [(name, kind) for kind in ("app", "sheet") for name in ["the reset", *FORMS]]
CASES += [(name, "app") for name in OF_THE_APP] + [(name, "sheet") for name in OF_THE_SHEET]
USUAL = {("the reset", "app"), ("the reset", "sheet"), ("a page that asks who it is", "app"), ("the log-in", "sheet")}


def susans(site: Site, mailbox: Mailbox) -> tuple[App, list[Browser]]:
    """Three of her browsers, which were logged in before she had an app."""
    browsers = [site.browser() for _each in range(3)]
    register(browsers[0], mailbox)
    for browser in browsers:
        log_in(browser)
    app = set_up_app(browsers[0])
    execute(site, "UPDATE session SET second_proved_at = NULL")
    execute(site, "UPDATE factor SET last_step = 0")
    return app, browsers


@pytest.mark.parametrize(
    ("name", "kind"), [pytest.param(*case, marks=[] if case in USUAL else [deep]) for case in CASES]
)
@deep
def test_of_three_with_one_code_one_is_let_through(any_site: Site, mailbox: Mailbox, name: str, kind: str) -> None:
    """Two on the same form, and the third at the log-in."""
    app, browsers = susans(any_site, mailbox)
    presses = [logging_in(browsers[2])]
    if name == "the reset":
        link = forget_and_find_link(any_site.browser(), mailbox)
        reset = form(link, "password is changed", password=NEW_PASSWORD)
        presses += [reset(any_site.browser()), reset(any_site.browser())]
    else:
        presses += [(FORMS | OF_THE_APP | OF_THE_SHEET)[name](browser) for browser in browsers[:2]]
    execute(any_site, "DELETE FROM limit_window")
    code = app.code() if kind == "app" else app.codes[4]
    start = threading.Barrier(len(presses))

    def at_once(press: Press) -> bool:
        start.wait()
        return press(code)

    with ThreadPoolExecutor(len(presses)) as pool:
        taken = list(pool.map(at_once, presses))

    assert sum(taken) == 1, taken


def test_every_view_that_takes_a_code_is_named() -> None:
    """For the next one: `proof.prove` and `proof.proved` are one case, whichever page asks."""
    takers = {
        f"{file.parent.name}/{file.stem} {found}"
        for file in (ROOT / "webapp").rglob("*.py")
        for found in re.findall(r"await (?:proof\.|second_step\.)?(try_code|answer|codes\.use)\(", file.read_text())
    }

    assert takers == {
        "authentication/proof answer",
        "authentication/proof try_code",
        "checkup/views try_code",
        "recovery/views try_code",
        "recovery/views codes.use",
        "second_step/views try_code",
    }
