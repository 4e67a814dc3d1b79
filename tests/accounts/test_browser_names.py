"""What a browser is called, from what it says of itself."""

import time

import pytest

from webapp.accounts import known_browsers

APPLE = "AppleWebKit/537.36 (KHTML, like Gecko)"
CHROME = f"{APPLE} Chrome/142.0.0.0"
WINDOWS, MAC = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
IPAD = "Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
PHONE = "Mozilla/5.0 (Linux; Android 10; K)"
NAMED = {
    f"{WINDOWS} {CHROME} Safari/537.36": "Chrome on Windows",
    f"{WINDOWS} {CHROME} Safari/537.36 Edg/142.0.0.0": "Edge on Windows",
    f"{MAC} {CHROME} Safari/537.36 OPR/124.0.0.0": "Opera on macOS",
    f"{MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15": "Safari on macOS",
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0": "Firefox on Linux",
    "Mozilla/5.0 (X11; FreeBSD amd64; rv:145.0) Gecko/20100101 Firefox/145.0": "Firefox on FreeBSD",
    "Mozilla/5.0 (Android 15; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0": "Firefox on Android",
    f"{PHONE} {CHROME} Mobile Safari/537.36": "Chrome on Android",
    f"{PHONE} {APPLE} SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36": "Samsung Internet on Android",
    f"{IPHONE} Version/18.5 Mobile/15E148 Safari/604.1": "Safari on iPhone",
    f"{IPHONE} CriOS/142.0.0.0 Mobile/15E148 Safari/604.1": "Chrome on iPhone",
    f"{IPAD} FxiOS/145.0 Mobile/15E148 Safari/605.1.15": "Firefox on iPad",
    f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {CHROME} Safari/537.36": "Chrome on ChromeOS",
    f"{WINDOWS} {CHROME} YaBrowser/25.10.0.0 Safari/537.36": "Yandex Browser on Windows",
    f"{WINDOWS} {CHROME} Safari/537.36 Vivaldi/7.6": "Vivaldi on Windows",
    "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko": "Internet Explorer on Windows",
    "curl/8.16.0": "curl",
    "Links (2.30; Linux 6.1 x86_64; GNU C 12.2; text)": "a browser on Linux",
    "python-httpx/1.0": "a browser",
    "": "a browser",
}


@pytest.mark.parametrize(("user_agent", "words"), NAMED.items())
def test_a_browser_is_described_in_words(user_agent: str, words: str) -> None:
    assert known_browsers.described(user_agent) == words


def test_describing_costs_nothing_whatever_is_said() -> None:
    begun = time.process_time()

    assert known_browsers.described("Mozilla/5.0 (" * 100_000) == "a browser"

    assert time.process_time() - begun < 0.5


@pytest.mark.parametrize("cookie", ["", "x", "a" * 42, "a" * 44, "a" * 42 + "=", "ä" * 43, "a" * 43 + "\n"])
def test_a_cookie_that_isnt_ours_has_no_mark(cookie: str) -> None:
    assert known_browsers.mark(cookie) == ""


def test_each_cookie_has_256_bits_and_a_mark_of_its_own() -> None:
    secrets = {known_browsers.new_secret() for _number in range(100)}

    assert {len(secret) for secret in secrets} == {43}
    assert len({known_browsers.mark(secret) for secret in secrets}) == 100
