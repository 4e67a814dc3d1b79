"""What no form of ours sends: refused with the right status and a clear sentence, whatever the database."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.depth import deep
from tests.sites import Site
from tests.stories import forget_and_find_link, log_in, register, without_token
from tests.watching import ask, dump, execute, standing_site
from webapp.accounts import tokens

URLENCODED = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def site(
    request: pytest.FixtureRequest, migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A site on each kind of database with susan, and one of her reset links."""
    folder, changes = tmp_path_factory.mktemp("forms"), {}
    if request.param == "postgresql":
        changes["database_url"] = request.getfixturevalue("standing_postgres_url")
    with standing_site(migrated_sqlite, folder, **changes) as site:
        assert site.mailbox
        register(site.browser(), site.mailbox)
        site.app.state.reset_link = forget_and_find_link(site.browser(), site.mailbox)
        site.app.state.register_link = tokens.register_link(site.settings, "new@example.com").partition(".example")[2]
        yield site


@dataclass(frozen=True)
class Sent:
    """One odd request: what is sent, and what must be answered."""

    status: int
    content: bytes = b""
    content_type: str = URLENCODED
    query: str = ""

    def body(self, field: str) -> bytes:
        encoded = "".join(f"%{ord(email):02x}" for email in field)
        return self.content.replace(b"FIELD", field.encode()).replace(b"ENCODED", encoded.encode())


# The forms, by the path, and the field that each of them can't do without.
FORMS = {
    "/login": "username",
    "/register": "email",
    "/reset_password_request": "email",
    "/recover": "username",
    "{reset_link}": "password",
    "{register_link}": "password",
}
MULTIPART = (
    b'--x\r\nContent-Disposition: form-data; name="FIELD"\r\n\r\nsusan@example.com\r\n--x\r\nContent-Disposition: '
    b'form-data; name="file"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--x--\r\n'
)
ODD = {
    # C07: a second address past a check of the first (CVE-2023-7028 and the like).
    "the field twice": Sent(400, b"FIELD=susan@example.com&FIELD=evil@example.net"),
    "the field twice, once empty": Sent(400, b"FIELD=&FIELD=susan@example.com"),
    "the field twice, once encoded": Sent(400, b"FIELD=susan@example.com&ENCODED=evil@example.net"),
    "an array": Sent(400, b"FIELD[]=susan@example.com&FIELD[]=evil@example.net"),
    "an array of one": Sent(400, b"FIELD[]=susan@example.com"),
    "a numbered array": Sent(400, b"FIELD[0]=susan@example.com&FIELD[1]=evil@example.net"),
    "an object": Sent(400, b"FIELD[a]=b"),
    "the field and an array": Sent(400, b"FIELD=susan@example.com&FIELD[]=evil@example.net"),
    "in the query too": Sent(400, b"FIELD=susan@example.com", query="?FIELD=evil@example.net"),
    "an array in the query": Sent(400, b"FIELD=susan@example.com", query="?FIELD[]=evil@example.net"),
    "an unknown field twice": Sent(400, b"other=1&other=2&FIELD="),
    "json": Sent(415, b'{"FIELD": "susan@example.com"}', "application/json"),
    "json array": Sent(415, b'{"FIELD": ["susan@example.com", "evil@example.net"]}', "application/json"),
    "json said to be a form": Sent(422, b'{"FIELD": "susan@example.com"}'),
    "multipart": Sent(415, MULTIPART, "multipart/form-data; boundary=x"),
    "multipart without boundary": Sent(415, MULTIPART, "multipart/form-data"),
    "multipart said to be a form": Sent(422, b"--x\r\n\r\n--x--"),
    "deep multipart": Sent(415, b"--x\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n" * 500, "multipart/mixed"),
    "text": Sent(415, b"FIELD=susan@example.com", "text/plain"),
    "no type": Sent(415, b"FIELD=susan@example.com", ""),
    "xml": Sent(415, b"<FIELD/>", "application/xml"),
    "an odd type": Sent(415, b"FIELD=susan@example.com", ";;;="),
    # C46
    "NUL": Sent(422, b"FIELD=susan%00@example.com"),
    "NUL, raw": Sent(422, b"FIELD=susan\x00@example.com"),
    "a bell": Sent(422, b"FIELD=susan%07@example.com"),
    "bad UTF-8": Sent(422, b"FIELD=susan%ff%fe@example.com"),
    "bad UTF-8, raw": Sent(422, b"FIELD=su\xff\xfe"),
    "overlong UTF-8": Sent(422, b"FIELD=susan%c0%80@example.com"),
    "a surrogate": Sent(422, b"FIELD=susan%ed%a0%80@example.com"),
    "a broken escape": Sent(422, b"FIELD=%"),
    "line breaks": Sent(422, b"FIELD=%0d%0a%0d%0a"),
    "empty": Sent(422, b"FIELD="),
    "spaces": Sent(422, b"FIELD=+++"),
    "no field": Sent(422, b"&&&==&"),
    "no body": Sent(422),
    "no body and no type": Sent(422, content_type=""),
    "a name without a value": Sent(422, b"FIELD"),
    "too long": Sent(422, b"FIELD=" + b"a" * 10_000),
    "51 fields": Sent(400, b"&".join(b"a%d=1" % number for number in range(51))),
    "30,000 fields": Sent(400, b"a=1&" * 15_000),
    "a million fields": Sent(413, b"a&" * 1_000_000),
    "a field of 60 KiB": Sent(400, b"FIELD=" + b"a" * 60_000),
    "a name of 64 KiB": Sent(400, b"a" * 64 * 1024),
    "64 KiB and a byte": Sent(413, b"a" * (64 * 1024 + 1)),
}


@deep
def test_what_none_of_our_forms_sends_is_refused_with_a_sentence_and_leaves_nothing(site: Site) -> None:
    """C07, C46"""
    before = dump(site)

    for (form, name), (kind, odd) in product(FORMS.items(), ODD.items()):
        path = form.format(**site.app.state._state) + odd.query.replace("FIELD", name)
        headers = {"content-type": odd.content_type} if odd.content_type else {}
        started = time.process_time()
        answer = site.browser(follow_redirects=False).post(path, content=odd.body(name), headers=headers)

        assert time.process_time() - started < 2, (form, kind)
        assert answer.status_code == odd.status, (form, kind, answer.text)
        assert re.search(r"<h1[^>]*>[^<]+</h1>", answer.text), (form, kind)
        if odd.status == 422:
            assert re.search(r'class="(field|form)-error"[^>]*>[^<]{10,}', answer.text), (form, kind)

    assert dump(site) == before


HOST = ("host", "blog.example")
FORM = ("content-type", URLENCODED)


@deep
@pytest.mark.parametrize(
    ("chunks", "status"),
    [
        ([b"username=su", b"san&pass", b"word=wrong password"], 422),
        ([b"a=" + b"b" * 5000 + b"&"] * 20, 413),
        ([b"a" * 70_000], 413),
        ([b""] * 50 + [b"username="], 422),
    ],
    ids=["small", "too large bit by bit", "too large at once", "empty chunks"],
)
@pytest.mark.alike
def test_a_body_in_chunks_is_read_like_any_other(site: Site, chunks: list[bytes], status: int) -> None:
    """C46: without a Content-Length the limit holds too."""
    answer = ask(site, "POST", "/login", [HOST, FORM], *chunks)

    assert answer.status == status
    assert "<h1" in answer.text
    assert ("x-content-type-options", "nosniff") in answer.headers


@pytest.mark.parametrize("length", ["-1", "1e9", "", "abc", "0x10", "99999999999999999999", "+5", "\u00b2"])
@pytest.mark.alike
def test_an_odd_content_length_is_no_error(site: Site, length: str) -> None:
    """C46: a server in front would refuse it; if not, it is refused here or the true length counts."""
    answer = ask(site, "POST", "/login", [HOST, FORM, ("content-length", length)], b"username=susan&password=x")

    assert answer.status in {400, 413, 422}
    assert "<h1" in answer.text


@pytest.mark.alike
def test_a_visitor_who_hangs_up_in_the_middle_is_no_error(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "https",
        "path": "/login",
        "raw_path": b"/login",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"blog.example"), (b"content-type", URLENCODED.encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 1),
    }
    site.run(site.app, scope, receive, send)

    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize(
    "content_type", [f"{URLENCODED}; charset=utf-8", "Application/X-WWW-Form-URLEncoded", f" {URLENCODED} "]
)
@pytest.mark.alike
def test_a_form_by_another_spelling_of_its_type_is_a_form(site: Site, content_type: str) -> None:
    answer = ask(site, "POST", "/login", [HOST, ("content-type", content_type)], b"username=susan&password=wrong+one")

    assert answer.status == 422
    assert "don&#39;t match" in answer.text


@deep
@pytest.mark.parametrize(("form", "name"), FORMS.items(), ids=FORMS)
@pytest.mark.alike
def test_what_a_script_does_not_escape_is_read_as_if_it_had(site: Site, form: str, name: str) -> None:
    """It is UTF-8 either way (WHATWG URL Standard, 5.1)."""
    path, typed = form.format(**site.app.state._state), "Ольга; мышь"  # as a password a character too short
    bodies = f"{name}={typed}".encode(), urlencode({name: typed}).encode()

    plain, escaped = (
        site.browser(follow_redirects=False).post(path, content=body, headers={"content-type": URLENCODED})
        for body in bodies
    )

    assert plain.status_code == escaped.status_code == 422
    assert without_token(plain.text) == without_token(escaped.text)
    assert name == "password" or typed in plain.text


@deep
@pytest.mark.alike
def test_fields_that_a_form_does_not_have_change_nothing(site: Site) -> None:
    """C36: neither the epoch nor the number of an account can be typed."""
    before = account(site)
    extra = {"id": "7", "user_id": "7", "epoch": "9", "email": "evil@example.net", "disabled_at": "", "is_admin": "1"}

    answer = log_in(site.browser(follow_redirects=False), **extra)

    assert answer.status_code == 303
    assert account(site) == before


def account(site: Site) -> list[tuple[Any, ...]]:
    return execute(site, "SELECT id, username, email, epoch, disabled_at FROM user_account")


@pytest.mark.parametrize(
    "path",
    [
        "/login?next=%00",
        "/login?next=%ff",
        "/login?next=a&next=b",
        "/login?username[]=x",
        "/reset_password_request?email=%00%ff",
        "/reset_password_request?email=" + "a" * 20_000,
        "/reset_password_request?email[]=a",
        "/register/%00",
        "/reset_password/%ff",
        "/static/%00",
        "/static/%ff/app.js",
        "/static/x/" + "a" * 5000,
        "/static/x/../../../../etc/passwd",
        "/%00",
        "//",
        "/?" + "a=1&" * 5000,
    ],
)
@pytest.mark.alike
def test_an_odd_address_is_no_error(site: Site, path: str) -> None:
    """C46"""
    answer = ask(site, "GET", path, [HOST])

    assert answer.status < 500
    assert answer.status in {200, 303} or "<h1" in answer.text


@pytest.mark.parametrize(
    "value", ["", "x", "\u00ff" * 50, "a" * 3000, "x.y.z", "e30.e30.e30", '"', "=;=;", "__Host-session="]
)
@pytest.mark.alike
def test_an_odd_cookie_is_a_strangers(site: Site, value: str) -> None:
    """C46"""
    cookie = ("cookie", f"__Host-session={value}; __Host-flash={value}")

    assert ask(site, "GET", "/settings", [HOST, cookie]).status == 303
    assert ask(site, "GET", "/login", [HOST, cookie]).status == 200
