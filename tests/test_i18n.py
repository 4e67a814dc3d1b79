"""The language of the person: what they chose, what the page says, what the browser asks for, in this order."""

import io
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace

import pytest
from babel.localedata import locale_identifiers

from tests.depth import deep, one_in
from tests.mailbox import Mailbox, paths_in
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, PASSWORD, ask_for_reset, log_in, register
from tests.watching import execute, wait_until_posted
from tests.web.test_second_press import STORIES, Pressed, Village, form_on, press, settled
from webapp import i18n
from webapp.accounts import tokens
from webapp.mail.kinds import KINDS
from webapp.settings import Settings
from webapp.web import templating

OFFERED = ("en", "ru", "de")


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("", "en"),
        ("de", "de"),
        ("DE-at", "de"),
        ("ru-RU,ru;q=0.9,en;q=0.8", "ru"),
        ("en;q=0.1, ru;q=0.9", "ru"),
        ("ru,en", "ru"),
        ("ru,de;q=0.9,en", "ru"),
        ("fr, de;q=0.5", "de"),
        ("fr", "en"),
        ("de;q=0", "en"),
        ("de;q=0, ru;q=0.1", "ru"),
        ("*", "en"),
        ("de;q=nonsense, ru;q=0.2", "ru"),
        (";;;,,,q=q=q", "en"),
        ("x" * 100_000, "en"),
        ("fr," * 100_000 + "de", "en"),
        ("\u00ff\x00", "en"),
        ("../../etc", "en"),
    ],
)
def test_the_best_of_the_offered_languages_is_chosen(header: str, chosen: str) -> None:
    assert i18n.choose(header, OFFERED) == chosen


def test_a_language_is_in_force_only_inside() -> None:
    with i18n.use("ru"):
        inside = i18n.current()
        with i18n.use("de"):
            deeper = i18n.current()

    assert (inside, deeper, i18n.current()) == ("ru", "de", "en")


@one_in(20)
@pytest.mark.parametrize("language", sorted({name.split("_")[0] for name in locale_identifiers()}))
def test_a_script_can_write_the_times_of_any_language(language: str) -> None:
    """Of whatever languages are added: the pattern, the months and the halves of the day, in parts that it knows."""
    with i18n.use(language):
        pattern, *names = templating.time_words().split("|")

    assert len(names) == 12 + 2
    assert set(re.findall(r"{(\w+)}", pattern)) <= {
        "y",
        "M",
        "MMM",
        "MMMM",
        "d",
        "dd",
        "H",
        "HH",
        "h",
        "hh",
        "m",
        "mm",
        "a",
    }
    assert not re.search(r"[{}%]", re.sub(r"{\w+}", "", pattern))


def test_without_a_catalogue_the_words_are_those_of_the_code() -> None:
    with i18n.use("de"):
        assert i18n.gettext("Log in") == "Log in"
        assert i18n.ngettext("%(num)s hour", "%(num)s hours", 2) == "%(num)s hours"


def spoken(page: str) -> str:
    """The language that a page says it is in."""
    found = re.search(r'<html lang="([\w-]+)" dir="ltr">', page)
    assert found
    return found[1]


@pytest.mark.parametrize(
    ("header", "language"), [("en", "en"), ("xx", "en"), ("", "en"), ("ru, de", "ru"), ("fr,ru;q=0.1", "ru")]
)
@pytest.mark.parametrize("path", ["/login", "/nowhere", "/reset_password/cut"])
@one_in(4)
def test_a_page_says_in_which_language_it_is(browser: Browser, path: str, header: str, language: str) -> None:
    assert spoken(browser.get(path, headers={"accept-language": header}).text) == language


@pytest.mark.parametrize("headers", [{"host": "evil.example"}, {"sec-fetch-site": "cross-site"}])
def test_a_refusal_before_any_view_speaks_the_visitors_language_too(browser: Browser, headers: dict[str, str]) -> None:
    answer = browser.post("/login", headers={"accept-language": "ru"} | headers)

    assert answer.status_code in {400, 403}
    assert spoken(answer.text) == "ru"


def test_the_switch_is_remembered_by_the_browser_and_leads_back(site: Site) -> None:
    browser = site.browser(follow_redirects=False)
    page = f"{site.settings.base_url}/reset_password_request?email=susan"

    switched = browser.post("/language", data={"language": "ru"}, headers={"referer": page})

    assert (switched.status_code, switched.headers["location"]) == (303, "/reset_password_request?email=susan")
    assert spoken(browser.get("/login", headers={"accept-language": "en"}).text) == "ru"
    assert spoken(site.browser().get("/login").text) == "en"


@pytest.mark.parametrize("referer", ["https://evil.example/x", "", "https://blog.example//evil.example", "nonsense"])
def test_the_switch_leads_nowhere_else(site: Site, referer: str) -> None:
    """C43"""
    answer = site.browser(follow_redirects=False).post(
        "/language", data={"language": "ru"}, headers={"referer": referer}
    )

    assert answer.headers["location"] == "/"


@pytest.mark.parametrize("language", ["", "de", "en-XA", "ru\r\nx: y", "../../etc", "a" * 10_000])
def test_a_language_that_is_not_offered_is_refused(browser: Browser, language: str) -> None:
    answer = browser.post("/language", data={"language": language})

    assert answer.status_code == 422
    assert "doesn&#39;t speak that language" in answer.text or "too long" in answer.text


def test_a_persons_own_choice_comes_before_the_browser_and_its_cookie(site: Site, mailbox: Mailbox) -> None:
    register(site.browser(), mailbox)
    susan, phone = site.browser(), site.browser()
    log_in(susan)
    susan.post("/language", data={"language": "ru"})
    log_in(phone)

    assert spoken(phone.get("/settings", headers={"accept-language": "en"}).text) == "ru"


def test_an_account_is_made_in_the_language_of_the_page(site: Site, mailbox: Mailbox) -> None:
    browser = site.browser()
    browser.headers["accept-language"] = "ru"
    register(browser, mailbox)
    log_in(browser)
    browser.headers["accept-language"] = "en"

    assert spoken(browser.get("/settings").text) == "ru"


def test_emails_are_in_the_readers_language_whoever_asks_and_whatever_else_is_written(
    site: Site, mailbox: Mailbox
) -> None:
    """C75: two people of two languages, asked for by strangers of the other, one after the other."""
    for name, language in (("susan", "en"), ("olga", "ru")):
        browser = site.browser()
        browser.headers["accept-language"] = language
        register(browser, mailbox, name)

    for _time in range(2):
        ask_for_reset(in_language(site, "ru"), "susan")
        ask_for_reset(in_language(site, "en"), "olga")
        in_language(site, "ru").post("/register", data={"email": f"new{_time}@example.com"})
        if not _time:
            assert [mailbox.last(f"{name}@example.com", count=2).message["Content-Language"] for name in NAMES] == OWN

    assert mailbox.last("new0@example.com").message["Content-Language"] == "ru"


@deep
def test_what_warns_of_a_thief_comes_in_the_language_from_before_the_thief_chose_another(
    site: Site, mailbox: Mailbox
) -> None:
    """C68: until the password is used once "this wasn't me", which brings the language back, works no more."""
    register(site.browser(), mailbox)
    log_in(thief := site.browser())
    mailbox.last("susan@example.com", subject="A new log-in")
    before = len(mailbox.all("susan@example.com"))

    def told(count: int) -> str:
        return str(mailbox.last("susan@example.com", count=before + count).message["Content-Language"])

    for language in ("ru", "en", "ru"):
        thief.post("/language", data={"language": language})
    thief.post("/recovery_codes", data={"current_password": PASSWORD})
    warned = told(1)
    ask_for_reset(site.browser(), "susan")
    asked = told(2)
    execute(site, "UPDATE user_account SET former_language_until = '2026-01-01 00:00:00.000000'")
    thief.post("/sessions/end_others")
    later = told(3)
    thief.post("/change_password", data={"current_password": PASSWORD, "password": NEW_PASSWORD})
    after_a_proof = told(4)

    assert (warned, asked, later, after_a_proof) == ("en", "ru", "en", "ru")


def test_an_optional_email_that_warns_of_nothing_comes_in_the_language_one_has_just_chosen() -> None:
    optional = [kind for kind in KINDS.values() if kind.is_optional]

    assert [kind.is_warning for kind in optional] == [kind.is_security for kind in optional]


def test_what_only_somebody_who_is_logged_in_can_cause_is_a_warning() -> None:
    """Of another email: can a thief of a session cause it, and learns its owner of the thief by it? Then it is one."""
    others = {name for name, kind in KINDS.items() if not (kind.is_optional or kind.is_warning)}

    assert others == {
        *("checkup", "confirm_email", "factor_removal_link", "register", "registration_approved", "reset_password")
    }


def test_the_page_names_the_subject_that_comes_whatever_the_accounts_language(site: Site, mailbox: Mailbox) -> None:
    """It can't know the language, so it names those of all, also where nobody has such an account."""
    for name, language in (("susan", "en"), ("olga", "ru")):
        register(in_language(site, language), mailbox, name)

    for name in ("susan", "olga", "nobody"):
        page = in_language(site, "ru").post("/reset_password_request", data={"email": name}).text
        facts = re.sub(r"<[^>]+>", " ", page.partition("<dl")[2].partition("</dl>")[0])
        assert " ".join(facts.split()).endswith("Новый пароль для сайта Microblog или Reset your password on Microblog")

    subjects = [mailbox.last(f"{name}@example.com", count=2).subject for name in NAMES]
    assert subjects == ["Reset your password on Microblog", "Новый пароль для сайта Microblog"]


@deep
def test_who_reads_a_language_that_the_site_no_longer_has_gets_its_first(
    make_settings: Callable[..., Settings], database_url: str, start_site: Callable[[Settings], Site]
) -> None:
    """On pages, in the file with everything, and in emails: an account's own, a stranger's, and those that waited."""
    settings = make_settings(database_url=database_url, mailer="process", registration="approval")
    form = {"password": PASSWORD, "why": "Сад"}
    invited, asks = (tokens.register_link(settings, f"{name}@example.com", how) for name, how in GUESTS)
    with Site(settings) as before:
        stranger = in_language(before, "ru")
        in_language(before, "ru").post(invited, data=form | {"username": "olga"})
        stranger.post(asks, data=form | {"username": "anna"})
        stranger.post("/register", data={"email": "new@example.com"})

    site = start_site(replace(settings, languages=("en",), mailer="web"))
    olga = in_language(site, "ru")
    log_in(olga, "olga")
    page = olga.get("/settings").text
    olga.post("/export", data={"current_password": PASSWORD})
    assert site.mailbox
    site.mailbox.last("olga@example.com", subject="Your file")
    file = zipfile.ZipFile(io.BytesIO(olga.post("/export/download", data={"current_password": PASSWORD}).content))
    emails = [site.mailbox.last(f"{name}@example.com") for name in ("new", "anna", "olga")]

    assert (spoken(page), spoken(file.read("index.html").decode())) == ("en", "en")
    assert [email.message["Content-Language"] for email in emails] == ["en"] * 3
    assert [email.subject for email in emails] == [
        "Your registration on Microblog",
        "Your request to join Microblog is waiting",
        "Your file from Microblog is ready",
    ]


NAMES, OWN = ("susan", "olga"), ["en", "ru"]
GUESTS = (("olga", ""), ("anna", tokens.ASKED))


def in_language(site: Site, language: str) -> Browser:
    browser = site.browser()
    browser.headers["accept-language"] = language
    return browser


SAID = re.compile(r'<p class="flash-\w+">(.*?)</p>', re.DOTALL)


def disowning(village: Village) -> Pressed:
    ask_for_reset(village.stranger, "susan")
    wait_until_posted(village.site)
    [path] = [path for path in paths_in(village.mailbox.last("susan@example.com").text) if path.startswith("/not_me/")]
    return village.susan, form_on(village.susan, path)


@deep
@pytest.mark.parametrize("name", [*STORIES, "report_not_me"])
@one_in(40)
def test_what_is_said_after_a_form_is_in_the_language_of_the_page_that_says_it(
    make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[..., Site], name: str
) -> None:
    """Susan reads Russian, her browser asks for English. Where a form logs her out, the next page is a stranger's."""
    settings = make_settings(database_url=sqlite_url, admins=("susan@example.com",), member_invites=3)
    village = settled(start_site(settings))
    stories = {**STORIES, "report_not_me": disowning}
    _browser, form = stories[name](village)
    execute(village.site, "UPDATE user_account SET language = 'ru' WHERE username = 'susan'")

    page = village.susan.get(press(village.susan, form).headers.get("location", "/"))

    is_russian = '<html lang="ru"' in page.text
    said = SAID.findall(page.text)
    assert [words for words in said if bool(re.search("[а-я]", words)) != is_russian] == []
