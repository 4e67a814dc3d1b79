"""`make screenshots`: README's pictures, of a site with the demo community in it."""

import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.browser.listening import CHROMIUM
from tests.looks.village import Village, village
from webapp.settings import ROOT

FOLDER = ROOT / "docs" / "pictures"
PHONE: dict[str, Any] = {"viewport": {"width": 375, "height": 760}, "device_scale_factor": 2, "is_mobile": True}
DESKTOP: dict[str, Any] = {"viewport": {"width": 1200, "height": 760}, "device_scale_factor": 1}


def main() -> int:
    if not CHROMIUM:
        print("This wants Chromium (apt-get install chromium).", file=sys.stderr)
        return 1
    FOLDER.mkdir(exist_ok=True)
    with village("en") as place, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        _take(browser, place, "home-desktop-light", "/", DESKTOP, scheme="light", is_member=True)
        _take(browser, place, "home-desktop-dark", "/", DESKTOP, scheme="dark", is_member=True)
        _take(browser, place, "home-phone-light", "/", PHONE, scheme="light", is_member=True)
        _take(browser, place, "front-phone-dark", "/", PHONE, scheme="dark")
        _take_check_email(browser, place)
        browser.close()
    with village("ru") as place, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        _take(browser, place, "home-phone-russian", "/", PHONE, scheme="light", is_member=True)
        browser.close()
    return 0


def _take(
    browser: Browser,
    place: Village,
    name: str,
    path: str,
    size: dict[str, Any],
    *,
    scheme: str,
    is_member: bool = False,
) -> None:
    context = _open(browser, place, size, scheme)
    if is_member:
        cookies = place.cookies().items()
        context.add_cookies([{"name": cookie, "value": value, "url": place.url} for cookie, value in cookies])
    page = context.new_page()
    page.goto(path, wait_until="networkidle")
    page.screenshot(path=_file(name))
    context.close()


def _take_check_email(browser: Browser, place: Village) -> None:
    """What a person sees who has asked for a link."""
    context = _open(browser, place, PHONE, "light")
    page = context.new_page()
    page.goto("/reset_password_request")
    page.locator("#main input[name=email]").fill(place.neighbour)
    page.locator("#main form button[type=submit]").click()
    page.wait_for_url("**/check_email/*")
    page.evaluate("document.activeElement.blur()")
    page.screenshot(path=_file("check-email-phone-light"))
    context.close()


def _open(browser: Browser, place: Village, size: dict[str, Any], scheme: Any) -> BrowserContext:
    return browser.new_context(base_url=place.url, color_scheme=scheme, reduced_motion="reduce", **size)


def _file(name: str) -> Path:
    return FOLDER / f"{name}.png"


if __name__ == "__main__":
    sys.exit(main())
