"""Pages and parts, redirects that stay here, flashes that are shown once, and files that are kept."""

import builtins
import gzip
import re
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import Mock
from urllib.parse import unquote, urljoin, urlsplit

import pytest
import time_machine
from hypothesis import example, given
from hypothesis import strategies as st

from tests.depth import deep, one_in
from tests.sites import Browser, Site
from tests.stories import PASSWORD, log_in, register
from tests.watching import standing_site
from webapp.database import now
from webapp.settings import Settings
from webapp.web.pages import FLASH_SECONDS, local_path
from webapp.web.static_files import STATIC, STYLESHEET, Assets, assets_of

HTMX_PART = {"hx-request": "true", "hx-request-type": "partial"}
HTMX_PAGE = {"hx-request": "true", "hx-request-type": "full"}


@pytest.fixture(scope="module")
def site(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("pages")) as site:
        assert site.mailbox
        register(site.browser(), site.mailbox)
        yield site


ELSEWHERE = [
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "\\/evil.example",
    "\\\\evil.example",
    "/\\/evil.example",
    "https://evil.example",
    "HTTPS://evil.example",
    "https:evil.example",
    "https:/evil.example",
    "http:///evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "evil.example",
    "@evil.example",
    ".evil.example",
    ":evil.example",
    "?next=/",
    "#x",
    "",
    " ",
    " /",
    "/ /evil.example",
    "\t//evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r/evil.example",
    "/\x00/evil.example",
    "/\x0b/evil.example",
    "/\x7f/evil.example",
    "\x00//evil.example",
    "/a\r\nSet-Cookie: x=y",
    "/a\r\nLocation: https://evil.example",
    "/a\\..\\evil",
    "/\u2028/evil.example",
    "/\u3000/evil.example",
    "/\uff0fevil.example",
    "\u2215/evil.example",
    "/\u0430",
    "/\ud800",
    "/" + "a" * 2000,
    "http://blog.example/",
    "https://blog.example/",
    "https://blog.example@evil.example/",
    "//blog.example/",
    "mailto:a@example.com",
    "ftp://evil.example/",
    "%2f%2fevil.example",
    "%5cevil.example",
]
HERE = [
    "/",
    "/explore",
    "/user/susan?page=2",
    "/a%2f%2fb",
    "/%2f%2fevil.example",
    "/%5cevil",
    "/a#b",
    "/?next=//x",
    "/:x",
    "/a//b",
    "/@x",
    "/..",
]


@pytest.mark.parametrize("target", ELSEWHERE)
def test_a_redirect_never_leaves_the_site(target: str) -> None:
    """C43"""
    assert local_path(target) == "/"


@pytest.mark.parametrize("target", HERE)
def test_a_path_of_this_site_is_gone_to(target: str) -> None:
    """C43"""
    assert local_path(target) == target


def stays_here(location: str) -> bool:
    """Where a browser would go (WHATWG URL): it drops tabs and line breaks, and takes a backslash for a slash."""
    seen = re.sub(r"[\t\r\n]", "", location.strip("".join(map(chr, range(33))))).replace("\\", "/")
    parts = urlsplit(urljoin("https://blog.example/login", seen))
    return (parts.scheme, parts.netloc) == ("https", "blog.example")


@given(st.text(alphabet=st.one_of(st.sampled_from("/\\:@.?#%\t\n\r\x00 ehvil"), st.characters()), max_size=30))
@example("//evil.example")
@example("/\t/evil.example")
@deep
def test_whatever_is_asked_for_a_browser_stays_here(target: str) -> None:
    """C43: as typed, and decoded once more by somebody on the way."""
    location = local_path(target)

    assert stays_here(location)
    assert location.isascii()
    assert location.isprintable()
    assert unquote(location) == location or location.startswith("/")


def test_the_fuzz_would_see_a_redirect_that_leaves() -> None:
    assert [stays_here(target) for target in ("//evil.example", "/\\evil.example", "/\t/evil.example", "/a")] == [
        False,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("target", [target for target in ELSEWHERE if target.isprintable()][:20])
@one_in(4)
def test_the_log_in_leads_nowhere_else(site: Site, target: str) -> None:
    """C43: by the address, by the hidden field, and for who is logged in already."""
    browser = site.browser(follow_redirects=False)

    form = browser.get("/login", params={"next": target})
    answer = browser.post("/login", data={"username": "susan", "password": PASSWORD, "next": target})
    again = browser.get("/login", params={"next": target})

    assert 'name="next"' not in form.text
    assert answer.headers["location"] == "/"
    assert again.headers["location"] == "/"


SAID = "You&#39;re logged out."


def logged_out(site: Site) -> Browser:
    """A browser whose next page has something to say."""
    browser = site.browser(follow_redirects=False)
    assert log_in(browser).status_code == 303
    assert browser.post("/logout").status_code == 303
    return browser


def test_a_flash_is_shown_once(site: Site) -> None:
    browser = logged_out(site)

    first, second = browser.get("/login"), browser.get("/login")

    assert f'<p class="flash-success">{SAID}</p>' in first.text
    assert SAID not in second.text
    assert "__Host-flash" not in browser.cookies


def test_a_part_leaves_the_flash_for_the_page(site: Site) -> None:
    browser = logged_out(site)

    part = browser.post("/login", data={"username": ""}, headers=HTMX_PART)

    assert SAID not in part.text
    assert SAID in browser.get("/login").text


def flash_of(site: Site) -> str:
    return logged_out(site).cookies["__Host-flash"]


def with_flash(site: Site, value: str) -> Browser:
    browser = site.browser()
    browser.cookies.set("__Host-flash", value, domain="blog.example")
    return browser


@pytest.mark.parametrize("how", ["cut", "changed", "reversed", "doubled", "unsigned", "empty", "another's key"])
def test_a_flash_that_isnt_ours_is_not_shown(site: Site, how: str) -> None:
    value = flash_of(site)
    payload, _dot, rest = value.partition(".")
    forged = {
        "cut": value[:-3],
        "changed": payload[:-2] + ("AA" if payload[-2:] != "AA" else "BB") + "." + rest,
        "reversed": value[::-1],
        "doubled": value + value,
        "unsigned": payload,
        "empty": "..",
        "another's key": value[:-5] + "AAAAA",
    }[how]

    page = with_flash(site, forged).get("/login")

    assert page.status_code == 200
    assert SAID not in page.text
    assert SAID in with_flash(site, value).get("/login").text


def test_a_flash_is_signed_with_sha_256(site: Site) -> None:
    signature = flash_of(site).rpartition(".")[2]

    assert len(signature) == 43, "32 bytes in base64url"


def test_an_old_flash_is_not_shown(site: Site) -> None:
    value = flash_of(site)

    with time_machine.travel(time.time() + FLASH_SECONDS + 2):
        page = with_flash(site, value).get("/login")

    assert SAID not in page.text


def test_a_flash_is_text(site: Site) -> None:
    """C38"""
    answer = site.browser().post("/reset_password_request", data={"email": '"<b>x</b>"@example.com'})

    assert "<b>x</b>" not in answer.text


FORMS = ["/login", "/register", "/reset_password_request"]


@pytest.mark.parametrize("path", FORMS)
def test_htmx_gets_the_part_that_changes_and_everybody_else_the_page(site: Site, path: str) -> None:
    browser = site.browser()

    with time_machine.travel(now(), tick=False):  # the form to register says to the second when it was opened
        page = browser.post(path, data={"x": "y"})
        part = browser.post(path, data={"x": "y"}, headers=HTMX_PART)
        whole = browser.post(path, data={"x": "y"}, headers=HTMX_PAGE)

    assert [answer.status_code for answer in (page, part, whole)] == [422, 422, 422]
    assert page.text.startswith("<!doctype html>")
    assert whole.text == page.text
    assert part.text.strip().startswith('<section class="panel" id="panel"')
    assert part.text.strip() in page.text
    for answer in (page, part, whole):
        vary = {name.strip() for name in answer.headers["vary"].split(",")}
        assert {"HX-Request", "HX-Request-Type", "Cookie"} <= vary


@pytest.mark.parametrize("path", FORMS)
def test_the_first_mistake_has_the_focus_and_names_what_is_wrong(site: Site, path: str) -> None:
    html = site.browser().post(path, data={"x": "y"}).text

    [marked] = re.findall(r"<input[^>]*autofocus[^>]*>", html)
    described = re.search(r'aria-describedby="([^"]+)"', marked)
    assert 'aria-invalid="true"' in marked
    assert described
    assert all(f'id="{name}"' in html for name in described[1].split())


def static_of(site: Site, name: str = "app.js") -> str:
    found = re.search(rf'"(/static/[0-9a-f]+/{re.escape(name)})"', site.browser().get("/login").text)
    assert found
    return found[1]


def test_a_file_under_its_hash_is_kept_for_ever(site: Site) -> None:
    answer = site.browser().get(static_of(site))

    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize("version", ["000000000000", "x", "..", "%2e%2e"])
def test_a_file_under_another_hash_is_not_kept(site: Site, version: str) -> None:
    answer = site.browser().get(f"/static/{version}/app.js")

    assert answer.headers["cache-control"] == "no-store"


def test_a_missing_file_under_the_hash_is_not_kept(site: Site) -> None:
    answer = site.browser().get(static_of(site).replace("app.js", "nothing.js"))

    assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-store")


def test_a_file_that_the_browser_has_is_not_sent_again(site: Site) -> None:
    first = site.browser().get(static_of(site))

    again = site.browser().get(static_of(site), headers={"if-none-match": first.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_files_are_read_and_compressed_once_and_not_for_each_visitor(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, headers = site.browser(), {"accept-encoding": "gzip"}
    files = re.findall(r'"(/static/[^"]+)"', browser.get("/login").text)
    first = [browser.get(file, headers=headers).content for file in files]
    work = [Mock(wraps=each) for each in (open, gzip.compress, zlib.compressobj)]
    for module, name, watched in zip((builtins, gzip, zlib), ("open", "compress", "compressobj"), work, strict=True):
        monkeypatch.setattr(module, name, watched)

    again = [browser.get(file, headers=headers).content for file in files]

    assert again == first
    assert not [watched.call_args for watched in work if watched.called]


def test_a_script_is_sent_without_its_comments(site: Site) -> None:
    """They are a fifth of ours, and each first visit on a phone would fetch them."""
    sent, source = site.browser().get(static_of(site)).text, (STATIC / "app.js").read_text()

    assert [line for line in sent.splitlines() if line] == [
        line for line in source.splitlines() if line and not line.strip().startswith("//")
    ]
    assert len(sent) < 0.95 * len(source)


def test_files_and_pages_are_sent_small_but_answers_to_forms_whole(site: Site) -> None:
    """Answers to forms repeat what was typed: compressing them would leak the length of what stands beside it."""
    headers = {"accept-encoding": "gzip"}

    file = site.browser().get(static_of(site, "htmx-4.0.1.min.js"), headers=headers)
    page = site.browser().get("/login", headers=headers)
    answer = site.browser().post("/login", data={"username": "susan"}, headers=headers)

    assert file.headers["content-encoding"] == page.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in answer.headers


def test_a_change_to_one_file_leaves_the_addresses_of_the_others(tmp_path: Path) -> None:
    shutil.copytree(STATIC, tmp_path / "static")
    before = Assets(tmp_path / "static").files
    (tmp_path / "static" / "css" / "form.css").write_text("p { color: red }")
    (tmp_path / "static" / "app.js").write_text("1")

    after = Assets(tmp_path / "static").files

    assert {name for name in before if before[name].hash != after[name].hash} == {"app.js", "css/form.css", STYLESHEET}


def test_a_development_site_reads_its_files_again_once_one_has_changed(
    tmp_path: Path, make_settings: Callable[..., Settings]
) -> None:
    """A page asks for each of its files: reading all of them each time took a tenth of a second."""
    shutil.copytree(STATIC, tmp_path / "static")
    assets = assets_of(make_settings(development=True), tmp_path / "static")
    before = assets()

    assert assets() is before
    (tmp_path / "static" / "css" / "form.css").write_text("p { color: red }")
    assert assets().url(STYLESHEET) != before.url(STYLESHEET)
    (tmp_path / "static" / "new.js").write_text("1")
    assert assets().url("new.js")


def test_the_stylesheets_are_sent_as_one_with_the_layers_first(site: Site) -> None:
    answer = site.browser().get(static_of(site, STYLESHEET))

    sheets = sorted((STATIC / "css").glob("*.css"))
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.text.startswith("@layer base,page,")
    assert all(squeezed(sheet.read_text()) in squeezed(answer.text) for sheet in sheets)
    assert len(answer.content) < 0.8 * sum(sheet.stat().st_size for sheet in sheets), (
        "comments and indentation are left out"
    )
    again = site.browser().get(static_of(site, STYLESHEET), headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def squeezed(sheet: str) -> str:
    """What a stylesheet says, however it is set out, but not where the files are that it refers to."""
    return re.sub(r"/\*.*?\*/|url\([^)]*\)|\s", "", sheet, flags=re.DOTALL)


def test_what_a_stylesheet_refers_to_is_found_under_its_own_hash(tmp_path: Path) -> None:
    for name, content in {
        "fonts/a.woff2": "font",
        "css/base.css": '@layer base; @font-face { src: url("../fonts/a.woff2") format("woff2") }',
        "css/z.css": "p { background: url(data:image/png;base64,xx); mask: url(#x) }",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)

    assets = Assets(tmp_path)

    sheet = assets.stylesheet.decode()
    assert f'src: url("{assets.url("fonts/a.woff2")}") format("woff2")' in sheet
    assert "url(data:image/png;base64,xx);mask: url(#x)" in sheet
    (tmp_path / "fonts" / "a.woff2").unlink()
    with pytest.raises(KeyError):
        Assets(tmp_path)


def test_the_stylesheet_asks_for_nothing_that_is_not_there(site: Site) -> None:
    sheet = site.browser().get(static_of(site, STYLESHEET)).text

    for reference in re.findall(r'url\("(/static/[^"]+)"\)', sheet):
        assert site.browser().get(reference).headers["cache-control"].endswith("immutable")
