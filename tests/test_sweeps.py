"""What holds for every route, every response and every template, proved by walking all of them."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import time_machine
from httpx2 import Response as Answer
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from tests.depth import besides, deep, one_in, share
from tests.sites import SECRET_KEY, Browser, Site
from tests.stories import forget_and_find_link, log_in, register, without_token
from tests.watching import dump, execute, give_passkey, standing_site, wait_until_posted
from webapp.accounts import tokens
from webapp.accounts.tokens import Purpose
from webapp.asked_emails import asked_emails
from webapp.asked_emails.asked_emails import Asked
from webapp.database import now
from webapp.notifications import switches
from webapp.routes import routes
from webapp.settings import ROOT, Settings
from webapp.web.security_headers import CONTENT_SECURITY_POLICY
from webapp.web.templating import environment

SETTINGS = Settings(
    base_url="https://blog.example", secret_key=SECRET_KEY, database_url="sqlite+aiosqlite://", mailbox=Path("mailbox")
)
ROUTES = [route for route in routes(SETTINGS) if isinstance(route, Route)]
NAMES = [route.name for route in ROUTES]
METHODS = ["GET", "HEAD", "OPTIONS", "TRACE", "POST", "PUT", "PATCH", "DELETE", "PROPFIND", "A-METHOD"]
SAFE = {"GET", "HEAD", "OPTIONS", "TRACE"}
# Whoever adds a page either guards it or names it here.
PUBLIC = {
    "language",
    "login",
    "second_step",
    "lost_second_step",
    "email_removal_link",
    "factor_removal",
    "keep_factors",
    "log_in_with_passkey",
    "passkey_challenge",
    "register",
    "finish_registration",
    "registration_waiting",
    "invitation",
    "check_email",
    "email_code",
    "reset_password_request",
    "reset_password",
    "renew_reset_link",
    "checkup_email",
    "confirm_email",
    "undo_email",
    "undo_deletion",
    "account_deleted",
    "report_not_me",
    "email_reset_link",
    "unsubscribe",
    "subscribe_again",
    "recover",
    "well_known_change_password",
    "security_txt",
    "home",
    "explore",
    "explore_feed",
    "search",
    "profile",
    "profile_feed",
    "post",
    "find_post",
    "robots",
    "manifest",
    "favicon",
    "touch_icon",
    "bounces",
    "health",
    "ready",
    "metrics",
    "mailbox",
    "gallery",
    "gallery_email",
    "gallery_html",
    "gallery_source",
    "mailbox_email",
    "mailbox_html",
    "mailbox_source",
}
# Erin asked for susan's address, and once had it herself: both links are good, and lead nowhere however often.
ERINS_CHANGES = """
    INSERT INTO address_change (id, user_id, epoch, old_email, new_email, created_at, confirmed_at) VALUES
    (1, 3, 0, 'erin@example.com', 'susan@example.com', :moment, NULL),
    (2, 3, 0, 'susan@example.com', 'erin@example.com', :moment, :moment)
"""
DAVIDS_PASSKEY = """
    INSERT INTO factor (user_id, kind, secret, sealed_with, last_step, spent_ahead, created_at)
    VALUES (2, 'passkey', '', '', 0, '', :moment)
"""
TEMPLATES = sorted(file.relative_to(ROOT / "templates").as_posix() for file in (ROOT / "templates").rglob("*.*"))
PAGES = [name for name in TEMPLATES if not name.startswith("email/") and "/_" not in f"/{name}" and name != "base.html"]


@pytest.fixture(scope="module")
def site(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with susan, her emails, and one of her reset links; and with david and erin, the accounts 2 and 3."""
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("swept")) as site:
        assert site.mailbox
        author = site.browser()
        register(author, site.mailbox)
        register(site.browser(), site.mailbox, "david")
        register(site.browser(), site.mailbox, "erin")
        execute(site, ERINS_CHANGES, moment=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"))
        execute(site, DAVIDS_PASSKEY, moment=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"))
        site.app.state.link = forget_and_find_link(site.browser(), site.mailbox)
        log_in(author)
        author.post("/", data={"body": "Hello."})
        give_passkey(site)
        yield site


@pytest.fixture(scope="module")
def susan(site: Site) -> Browser:
    browser = site.browser(follow_redirects=False)
    log_in(browser)
    return browser


@pytest.fixture
def stranger(site: Site) -> Browser:
    return site.browser(follow_redirects=False)


def path_of(site: Site, name: str) -> str:
    """A path that leads to the route's view, with a real token or email in it."""
    assert site.mailbox
    values = {
        "token": site.app.state.link.rpartition("/")[2],
        "id": next((email.id for email in site.mailbox.all()), "none"),
        "username": "susan",
        "post_id": 1,
        "passkey_id": 1,
        "request_id": 1,
        "invite_id": 1,
        "action": "disable",
    }
    if name in {"check_email", "email_code"}:
        values["token"] = asked_emails.seal(SETTINGS, Asked("reset_password", "susan", "susan"))
    if name == "finish_registration":
        values["token"] = tokens.register_link(SETTINGS, "new@example.com").rpartition("/")[2]
    if name == "authenticator_app":
        values["token"] = tokens.issue(SETTINGS, Purpose.ADD_APP, 1, timedelta(hours=1))
    if name == "checkup_email":
        values["token"] = tokens.issue(SETTINGS, Purpose.CHECKUP, 1, timedelta(hours=1), epoch=7)
    if name in {"unsubscribe", "subscribe_again"}:
        values["token"] = switches.unsubscribe_link(SETTINGS, 1, "mention", "susan@example.com").rpartition("/")[2]
    if name == "report_not_me":
        values["token"] = tokens.not_me_link(SETTINGS, 2, "reset_password", "david@example.com").rpartition("/")[2]
    if name in {"factor_removal", "keep_factors"}:
        values["token"] = tokens.issue(SETTINGS, Purpose(name), 2, timedelta(hours=1))
    if name in {"confirm_email", "undo_email"}:
        values["token"] = tokens.issue(SETTINGS, Purpose(name), 1 if name == "confirm_email" else 2, timedelta(hours=1))
    if name == "invitation":
        values["token"] = tokens.issue(SETTINGS, Purpose.INVITE, 1, timedelta(hours=1))
    if name == "undo_deletion":
        values["token"] = tokens.issue(SETTINGS, Purpose.UNDO_DELETION, 1, timedelta(hours=1))
    route = next(route for route in ROUTES if route.name == name)
    return route.url_path_for(name, **{key: values[key] for key in route.param_convertors})


def test_every_route_has_a_name_of_its_own_and_the_sweep_sees_all_of_them(site: Site) -> None:
    assert len(set(NAMES)) == len(NAMES) > 12
    mounts = [route for route in site.app.routes if isinstance(route, Mount)]
    assert [mount.name for mount in mounts] == ["static"]
    assert {route.name for route in site.app.routes if hasattr(route, "name")} == {*NAMES, "static"}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in PUBLIC])
@deep
def test_a_stranger_is_sent_to_log_in_and_back_afterwards(site: Site, stranger: Browser, name: str) -> None:
    path = path_of(site, name)
    route = next(route for route in ROUTES if route.name == name)
    method = "GET" if route.methods and "GET" in route.methods else "POST"

    answer = stranger.request(method, path)
    under_htmx = stranger.request(method, path, headers={"hx-request": "true"})

    wanted = "/login" + (f"?next={path}" if method == "GET" and path != "/" else "")
    assert (answer.status_code, answer.headers["location"]) == (303, wanted)
    assert (under_htmx.status_code, under_htmx.headers["hx-redirect"], under_htmx.content) == (204, wanted, b"")


def test_every_public_page_is_still_there() -> None:
    assert set(NAMES) >= PUBLIC


WANTED = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "strict-transport-security": "max-age=31536000; includeSubDomains",
}
# Pages that show emails frame them, and emails have inline styles.
OWN_POLICY = {"mailbox_email", "mailbox_html", "gallery_email", "gallery_html"}


def assert_guarded(answer: Answer, varies_by: str = "Cookie", **instead: str) -> None:
    """C37: the headers that every response carries, each once."""
    wanted = WANTED | {name.replace("_", "-"): value for name, value in instead.items()}
    assert {name: answer.headers.get_list(name) for name in wanted} == {name: [value] for name, value in wanted.items()}
    assert varies_by in answer.headers["vary"]
    assert not {"server", "x-powered-by", "access-control-allow-origin"} & set(answer.headers)


@pytest.mark.parametrize("name", NAMES)
@deep
def test_every_route_answers_every_method_with_a_sentence_and_guarded(site: Site, stranger: Browser, name: str) -> None:
    """C37, C46: no 5xx, and the security headers whatever the answer."""
    path = path_of(site, name)

    for method in {"GET", *share(METHODS, NAMES.index(name), 4)}:
        answer = stranger.request(method, path)

        assert answer.status_code < 500
        assert_guarded_as(name, answer)
        if answer.status_code >= 400 and method != "HEAD":
            assert re.search(r"<h1[^>]*>[^<]+</h1>\s*<(p|form)", answer.text), answer.text


def assert_guarded_as(name: str, answer: Answer) -> None:
    """The headers that every response carries; a few pages have a policy or a cache of their own."""
    if name in OWN_POLICY and answer.status_code == 200:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "script-src 'unsafe" not in policy
        assert_guarded(answer, content_security_policy=policy)
    elif name in {"robots", "favicon", "touch_icon"} and answer.status_code == 200:
        assert_guarded(answer, cache_control="public, max-age=86400")
    elif name.endswith("_feed") and answer.status_code == 200:
        assert_guarded(answer, cache_control="public, max-age=300")
    else:
        assert_guarded(answer)


REFUSED: dict[str, tuple[int, str, str, dict[str, Any]]] = {
    "no such page": (404, "GET", "/nothing/here", {}),
    "no such page, with a slash": (404, "GET", "/login/", {}),
    "no such file": (404, "GET", "/static/nothing.css", {}),
    "a folder": (404, "GET", "/static/", {}),
    "above the folder": (404, "GET", "/static/x/%2e%2e/%2e%2e/pyproject.toml", {}),
    "above the folder, encoded": (404, "GET", "/static/x/..%2f..%2fpyproject.toml", {}),
    "wrong method": (405, "DELETE", "/login", {}),
    "wrong method on a file": (405, "POST", "/static/x/app.js", {}),
    "too large": (413, "POST", "/login", {"content": b"a" * 70_000}),
    "no form": (415, "POST", "/login", {"json": {"username": "susan"}}),
    "two of a field": (400, "POST", "/login", {"data": {"username": ["a", "b"]}}),
    "from another site": (403, "POST", "/login", {"headers": {"sec-fetch-site": "cross-site"}}),
    "another host": (400, "GET", "/login", {"headers": {"host": "evil.example"}}),
    "a mistake": (422, "POST", "/login", {"data": {"username": ""}}),
    "a cut link": (404, "GET", "/reset_password/cut", {}),
}


@pytest.mark.parametrize("kind", list(REFUSED))
def test_refusals_carry_the_security_headers_too(stranger: Browser, kind: str) -> None:
    """C37"""
    status, method, path, how = REFUSED[kind]

    answer = stranger.request(method, path, **how)

    assert answer.status_code == status
    assert_guarded(answer)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "<h1" in answer.text


def test_a_broken_page_carries_the_security_headers_too(migrated_sqlite: Path, tmp_path: Path) -> None:
    """C37, C55"""

    async def broken(_request: Request) -> Response:
        raise ZeroDivisionError

    with standing_site(migrated_sqlite, tmp_path) as site:
        site.app.router.routes.insert(0, Route("/broken", broken))
        answer = site.browser().get("/broken")

    assert answer.status_code == 500
    assert_guarded(answer)


def test_static_files_are_guarded_and_kept_under_their_hash_only(site: Site, stranger: Browser) -> None:
    """C37"""
    page = stranger.get("/login").text
    files = sorted(set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page)))

    answers = [stranger.get(file) for file in files]

    assert len(files) >= 4
    assert sum(file.endswith(".css") for file in files) == 1
    for answer in answers:
        assert answer.status_code == 200
        assert_guarded(answer, "Accept-Encoding", cache_control="public, max-age=31536000, immutable")
        assert "Cookie" not in answer.headers["vary"], "or browsers would ask again after every log-in"
        assert "set-cookie" not in answer.headers


def test_without_https_nothing_promises_https(migrated_sqlite: Path, tmp_path: Path) -> None:
    with standing_site(migrated_sqlite, tmp_path, base_url="http://127.0.0.1:8000") as plain:
        answer = plain.browser().get("/login")

    assert answer.status_code == 200
    assert "strict-transport-security" not in answer.headers


UNSAFE_METHODS = ["POST", "PUT", "PATCH", "DELETE", "PROPFIND"]
SITES = ["cross-site", "same-site", "", "Same-Origin", "same-origin, cross-site", "x"]
FOREIGN: list[list[tuple[str, str]]] = [
    *([("sec-fetch-site", site)] for site in SITES),
    *(
        [("origin", origin)]
        for origin in [
            "null",
            "",
            "https://evil.example",
            "http://blog.example",
            "https://blog.example:8443",
            "https://blog.example.evil.example",
            "https://sub.blog.example",
            "https://blog.example@evil.example",
            "https://blog.example/",
            "https://BLOG.example",
            "blog.example",
            "https://blog.example https://evil.example",
            "file://",
        ]
    ),
    [("sec-fetch-site", "cross-site"), ("origin", "https://blog.example")],
    [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
    [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-origin")],
    [("origin", "https://blog.example"), ("origin", "https://evil.example")],
    [("origin", "https://blog.example"), ("origin", "https://blog.example")],
]


@deep
@pytest.mark.parametrize("name", NAMES)
@one_in(4)
def test_every_unsafe_route_refuses_cross_site_writes(site: Site, susan: Browser, name: str) -> None:
    """C29: whatever the headers say and whatever the method, and though susan's cookie came along.

    The routes share the ways and the methods among them.
    """
    path = path_of(site, name)
    wait_until_posted(site)
    before = dump(site)

    number = NAMES.index(name)
    ways = {("POST", way) for way in share(range(len(FOREIGN)), number, 4)}
    ways |= {(method, 0) for method in share(UNSAFE_METHODS, number, 2)}
    answers = {(method, way): susan.request(method, path, headers=FOREIGN[way]) for method, way in sorted(ways)}

    assert {answer.status_code for answer in answers.values()} == {403}
    assert all("sent from another site" in answer.text for answer in answers.values())
    assert dump(site) == before


OURS = [
    {"sec-fetch-site": "same-origin"},
    {"sec-fetch-site": "none"},
    {"sec-fetch-site": "same-origin", "origin": "https://blog.example"},
    {"origin": "https://blog.example"},
    {"origin": "https://blog.example:443"},
    {},
]


@pytest.mark.parametrize("name", [route.name for route in ROUTES if "POST" in (route.methods or ())])
@deep
def test_our_own_writes_get_through(site: Site, stranger: Browser, name: str) -> None:
    """C29: the guard refuses nothing of ours; log-out and the like then want a log-in, and bounces a key."""
    path = path_of(site, name)
    answers = [stranger.post(path, headers=headers) for headers in OURS]

    of_their_own = {
        "unsubscribe": {200},
        "subscribe_again": {200},
        "check_email": {303, 429},
        "bounces": {404},
        "undo_deletion": {410},
        "factor_removal": {303, 410},  # the link ends with the epoch, which other routes have raised by now
        "keep_factors": {303, 410},  # and so does this one
        "checkup_email": {410},
        "invitation": {410},  # nobody has made it
    }
    assert {answer.status_code for answer in answers} <= of_their_own.get(name, {303, 422})


@deep
def test_looking_at_every_page_changes_nothing(site: Site, susan: Browser) -> None:
    """C31: GET, HEAD and OPTIONS on every route, as a stranger and as susan."""
    wait_until_posted(site)
    execute(site, f"UPDATE session SET last_seen_at = '{now():%Y-%m-%d %H:%M:%S.%f}'")  # once a minute it may change
    before = dump(site)
    methods = ["GET", *besides(["HEAD", "OPTIONS"])]

    with time_machine.travel(now(), tick=False):  # however long the sweep takes
        for name, method, browser in product(NAMES, methods, [susan, site.browser()]):
            browser.request(method, path_of(site, name), params={"next": "/", "email": "susan", "password": "x" * 12})

    assert dump(site) == before
    assert any(before.values())


# A body and a charset of their own are the same for both.
HTMX = [
    {"hx-request": "true", "hx-request-type": "partial", "hx-target": "section#panel", "hx-source": "form"},
    {"hx-boosted": "true", "hx-request": "true", "hx-current-url": "https://blog.example/"},
    {"hx-history-restore-request": "true", "hx-request-type": "full"},
]


@pytest.mark.parametrize("name", NAMES)
@deep
def test_the_htmx_headers_give_no_more(site: Site, stranger: Browser, name: str) -> None:
    """C40: the part is contained in the page, a redirect leads where the plain one does, a refusal stays one."""
    path = path_of(site, name)
    with time_machine.travel(now(), tick=False):  # forms tell when they were opened
        plain = stranger.get(path)
        answers = [stranger.get(path, headers=headers) for headers in HTMX]

    for answer in answers:
        if plain.status_code == 303:
            assert answer.headers.get("hx-redirect", answer.headers.get("location")) == plain.headers["location"]
            assert answer.text == ""
        else:
            assert answer.status_code == plain.status_code
            assert without_token(answer.text).strip() in without_token(plain.text)


@deep
def test_every_template_compiles() -> None:
    templates = environment(SETTINGS)

    assert [templates.get_template(name).name for name in TEMPLATES] == TEMPLATES


def test_every_page_extends_the_base() -> None:
    extends = ('{% extends "base.html" %}', '{% extends "preferences/_roof.html" %}')

    assert [name for name in PAGES if not source(name).startswith(extends)] == []


def source(name: str) -> str:
    return (ROOT / "templates" / name).read_text()


def test_no_page_has_inline_script_or_style_or_another_origin() -> None:
    """C37, C45: the policy would refuse them in the browser; here is said where they are."""
    inline = r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:|hx-on|\|\s*safe\b"
    foreign = r"(src|href|action)=\"(https?:)?//"
    # Those of an archive are files on a person's disk, and no page of the site.
    pages = [name for name in TEMPLATES if not name.startswith(("email/", "archives/_"))]

    found = [(name, part[0]) for name in pages for part in re.finditer(f"{inline}|{foreign}", source(name))]

    assert found == []


def test_nothing_stands_behind_a_time_that_a_script_says_anew() -> None:
    """It takes less room in the reader's own zone. What is said behind it on its line would move, or keep a gap."""
    inside = r"\w+=[\w.]+\|time\b"
    followed = r"\|time \}\}(?!\s*(\{% endif %\})?\s*(</|\{% else %\}))"
    pages = [name for name in TEMPLATES if not name.startswith(("email/", "archives/_"))]

    found = [(name, part[0]) for name in pages for part in re.finditer(f"{inside}|{followed}", source(name))]

    assert found == []


LABELLED = re.compile(r'<(a|button|summary)\b[^>]*\baria-label="([^"]*)"[^>]*>(.*?)</\1>', re.DOTALL)


@pytest.mark.parametrize("language", ["en", "ru"])
@deep
def test_who_speaks_to_a_browser_can_say_what_stands_on_a_button(site: Site, language: str) -> None:
    """WCAG 2.5.3: the label that is heard has the words in it that are seen."""
    reader = site.browser()
    reader.headers["accept-language"] = language
    log_in(reader)
    pages = {name: reader.get(path_of(site, name)).text for name in NAMES}

    said = [
        (name, label, re.sub(r"<[^>]*>", "", inside).strip())
        for name, page in pages.items()
        for _tag, label, inside in LABELLED.findall(page)
    ]

    assert len(said) > 100
    assert {(name, label, words) for name, label, words in said if words.lower() not in label.lower()} == set()


def test_what_refreshes_itself_leaves_the_focus_where_it_is() -> None:
    """htmx finds it again by its id."""
    pieces = [(name, piece) for name in TEMPLATES for piece in source(name).split("<div ")]
    parts = [(name, piece) for name, piece in pieces if 'trigger="every ' in piece.split(">")[0]]
    focusable = re.compile(r"<(?:a|button|input(?! type=\"hidden\")|summary|textarea)\b(?:[^>{]|\{\{.*?\}\})*>")

    found = [(name, it) for name, part in parts for it in focusable.findall(re.split("{% end(?:block|macro)", part)[0])]

    assert len(parts) > 1 < len(found)
    assert [(name, it) for name, it in found if " id=" not in it] == []


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"health", "ready"} | OWN_POLICY])
def test_no_answered_page_has_inline_script_or_style(site: Site, susan: Browser, name: str) -> None:
    """C37"""
    html = susan.get(path_of(site, name)).text

    if html.startswith("<!doctype"):
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", html)
        assert len(re.findall(r"<h1", html)) == 1


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"health", "ready"} | OWN_POLICY])
def test_a_page_is_heard_by_its_heading_before_there_is_anything_to_press(
    site: Site, susan: Browser, name: str
) -> None:
    html = susan.get(path_of(site, name)).text

    if html.startswith("<!doctype"):
        before = html.split("<main")[1].split("<h1")[0]
        assert not re.search(r'<button|<input|class="button', before)


def test_a_picture_keeps_its_size_and_its_lines_without_the_stylesheet() -> None:
    """Else the icons of the header fill three screens before the first word."""
    pages = [name for name in TEMPLATES if not name.startswith("email/")]
    pictures = [(name, tag) for name in pages for tag in re.findall(r"<(?:svg|img)\b.*?>", source(name))]
    wanted = {"<svg": (" width=", " height=", ' fill="none"'), "<img": (" width=", " height=")}

    assert len(pictures) == 3
    assert [(name, tag) for name, tag in pictures if any(part not in tag for part in wanted[tag[:4]])] == []


def test_every_form_says_where_it_goes() -> None:
    """C40: each works with JavaScript off."""
    forms = re.compile(r"<form[^%>]*(?:\{[{%].*?[%}]\}[^%>]*)*>")
    found = [(name, form) for name in TEMPLATES if name.endswith(".html") for form in forms.findall(source(name))]

    assert len(found) > 20
    for name, form in found:
        is_whole = "action=" in form and ('method="post"' in form or 'role="search" method="get"' in form)
        assert "posts_to(" in form or is_whole, name


def test_a_form_says_itself_what_is_missing() -> None:
    """In the site's words and language, beside the field; a browser's bubble is in the browser's."""
    forms = re.compile(r"<form\b((?:[^>{]|\{\{.*?\}\}|\{%.*?%\})*)>(.*?)</form>", re.DOTALL)
    wanted = re.compile(r"\b(?:field|area|own_password|proof)\(|\brequired\b")
    # There, nobody is to make a passkey before the browser has seen the password.
    names = [name for name in TEMPLATES if not name.startswith(("email/", "passkey_pages/"))]

    filled = [(name, head) for name in names for head, body in forms.findall(source(name)) if wanted.search(body)]
    silent = [(name, head) for name, head in filled if 'role="search"' not in head]

    assert len(silent) > 20
    assert [(name, head) for name, head in silent if "posts_to(" not in head and "novalidate" not in head] == []
