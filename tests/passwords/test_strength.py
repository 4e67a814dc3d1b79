"""What is too easy to guess is refused with the reason, quickly, and everything else is welcome."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.depth import deep
from tests.mailbox import Mailbox
from tests.sites import Browser, Site
from tests.stories import forget_and_find_link, register
from webapp.passwords import strength
from webapp.passwords.hasher import MAX_LENGTH

CONTEXT = ("susan", "susan.smith@mail.example.com", "blog.example")
COMMON = "many people use this password"
IN_A_ROW = "it follows the keyboard, the alphabet or the numbers"
ABOUT = "it's mostly your username, your email or this site's name"
FEW = "it repeats a few characters"


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "12 characters",
        "were we poor?",
        "tree 8899 oak",
        "пароль длинный",
        "\U0001f600\U0001f601\U0001f602\U0001f603\U0001f604\U0001f605" * 2,
        "susan likes long walks",
        "x y z!" * 42,
        "  spaces at both ends  ",
        "jv8-qe2-ksw-4mt",
        "48151623420815",
    ],
)
def test_any_phrase_will_do(password: str) -> None:
    """C48: no rules of composition."""
    assert strength.of(password, 12, *CONTEXT) is None


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("", "Too short. Use 12 characters or more"),
        ("elevenchars", "Too short. Use 12 characters or more"),
        ("x" * (MAX_LENGTH + 1), f"Use {MAX_LENGTH} characters or fewer."),
        ("a" * 12, FEW),
        ("abcdabcdabcd", FEW),
        ("susansusansusan", FEW),
        ("SusanSUSANsusan1", ABOUT),
        ("susan.smith@mail.example.com", ABOUT),
        ("Susan.Smith12", ABOUT),
        ("microblog1234", ABOUT),
        ("MicroblogSusan!", ABOUT),
        ("blog.example-99", ABOUT),
        ("susan12345678", ABOUT),
        ("susanpassword", ABOUT),
        ("5us4n5m1thM1cr0bl0g", ABOUT),
        ("abcdefghijkl", IN_A_ROW),
        ("lkjihgfedcba", IN_A_ROW),
        ("123456789012", IN_A_ROW),
        ("qwertyuiop12", IN_A_ROW),
        ("poiuytrewq!1", IN_A_ROW),
        ("aaaaaaabbbbbbcdefg", IN_A_ROW),
        ("йцукенгшщзхъ", IN_A_ROW),
        ("1qaz2wsx3edc", COMMON),
        ("peanutbutter", COMMON),
        ("PeanutButter", COMMON),
        ("password1234", COMMON),
        ("2024password!", COMMON),
        ("p4$$w0rd1234!", COMMON),
        ("1loveyou!!2024", COMMON),
        ("enihsnus-2024", COMMON),
        ("abc123abc123abc123", COMMON),
        ("sunshine sunshine", COMMON),
        ("p a s s w o r d", COMMON),
        ("ｐａｓｓｗｏｒｄ１２３４", COMMON),
        ("пароль2024!!", COMMON),
    ],
)
def test_what_is_easy_to_guess_is_refused_with_the_reason(password: str, words: str) -> None:
    """C48"""
    assert words in (strength.of(password, 12, *CONTEXT) or "")


@pytest.mark.parametrize("order", [("ann", "annabel@example.com"), ("annabel@example.com", "ann")])
def test_the_longest_word_is_taken_out_first(order: tuple[str, str]) -> None:
    """Else the rest of a longer word would count as a phrase of its own."""
    assert ABOUT in (strength.of("annabelannabel1", 12, *order) or "")


@pytest.mark.parametrize(
    ("password", "is_refused"), [("xkq93hp", True), ("xkq93hpw", False), ("sunshine", True), ("Trustno1", True)]
)
def test_the_shortest_is_a_setting_and_the_list_holds_the_short_ones_too(password: str, is_refused: bool) -> None:
    """C48"""
    assert bool(strength.of(password, 8)) == is_refused


@pytest.mark.parametrize(
    "password",
    [
        "qwert poiu! " * 21,
        "1" * 120 + "asdfgzxc" + "1" * 128,
        ("ab12c" * 52)[:MAX_LENGTH],
        "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * MAX_LENGTH,  # 18 characters once it is normalized
        "password" * 32,
    ],
    ids=["rows", "edges", "period", "ligatures", "common"],
)
def test_no_password_is_hard_to_judge(password: str) -> None:
    """C48: far less than a hash costs, whatever is typed. The best of three, by the processor."""
    context = (" ".join(f"{number:x}" for number in range(4096, 8192)), f"a.b@{'.'.join(['abc'] * 60)}", "blog.example")

    assert min(seconds(lambda: strength.of(password, 12, *context)) for _try in range(3)) < 0.05


def seconds(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


@deep
@given(st.text(max_size=300), st.text(max_size=40))
def test_whatever_is_typed_gets_a_sentence_or_none(password: str, name: str) -> None:
    """C48: hypothesis looks for what breaks it."""
    words = strength.of(password, 8, name)

    assert words is None or words.startswith(("Too ", "That's too long"))


def test_the_list_is_sorted_as_it_is_searched() -> None:
    """Else a password in it would not be found."""
    lines = strength._common().text.split(b"\n")[:-1]

    assert len(lines) > 30_000
    assert lines == sorted(set(lines))
    assert [line for line in lines if line.decode().casefold().encode() != line] == []


@pytest.fixture
def newcomer(site: Site, mailbox: Mailbox) -> Callable[..., str]:
    """Follows a registration link and types a name and a password; returns the page."""

    def register_with(**typed: str) -> str:
        browser = site.browser()
        browser.post("/register", data={"email": "susan@example.com"})
        return browser.post(mailbox.link("susan@example.com"), data={"username": "susan", **typed}).text

    return register_with


@deep
@pytest.mark.parametrize(("password", "words"), [("password1234", COMMON), ("blog/blog/blog", ABOUT.partition("'")[0])])
def test_the_reason_stands_beside_the_field(newcomer: Callable[..., str], password: str, words: str) -> None:
    """C48: also the words of the site's own host are refused."""
    page = newcomer(password=password)

    assert f'<p class="field-error" id="password-error">Too easy to guess: {words}' in page


def test_a_reset_refuses_a_common_password_and_the_link_lives_on(site: Site, mailbox: Mailbox) -> None:
    """C48"""
    register(site.browser(), mailbox)
    browser: Browser = site.browser()
    link = forget_and_find_link(browser, mailbox)

    refused = browser.post(link, data={"password": "Liverpool123!"})
    accepted = browser.post(link, data={"password": "a quite different staple"})

    assert (refused.status_code, COMMON in refused.text) == (422, True)
    assert accepted.url.path == "/login"
