"""Whatever is sent: an answer or a refusal, and never an error of ours (hypothesis; `make soak` looks further)."""

import base64
import hmac
import itertools
import json
import string
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request

from tests.depth import deep, one_in
from tests.sites import SECRET_KEY, Site
from tests.stories import PASSWORD
from tests.watching import Answer, ask, standing_site
from webapp import i18n
from webapp.accounts import tokens
from webapp.accounts.tokens import Claim, Purpose, TokenInvalid, TokenMalformed
from webapp.names.identities import canonical_address, canonical_identity
from webapp.settings import Settings
from webapp.web import client_ip

SETTINGS = Settings(base_url="https://blog.example", secret_key=SECRET_KEY, database_url="sqlite+aiosqlite://")
RESET = Purpose.RESET_PASSWORD
LATER = 4_000_000_000
GOOD: dict[str, Any] = {"reset_password": 1, "epoch": 0, "aud": "reset_password", "iat": 1_767_225_600, "exp": LATER}
SIGNS = st.sampled_from("@.+-_='\"<>()[]{},;:\\/%&?#*!$^`|~ \t\r\n\x00\x1f\x7fasuxn01\u017f\u3002\u200b\uff20\u202e")
ANY_TEXT = st.text(st.one_of(SIGNS, st.characters()), max_size=60)
# What a server lets through in a header (RFC 9110, 5.5): visible signs, spaces, tabs, and bytes from 80 on.
HEADER = st.text(
    st.one_of(SIGNS.filter(lambda sign: " " <= sign <= "\x7e"), st.characters(codec="latin-1", categories=["L", "N"])),
    max_size=60,
)


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(payload: bytes) -> str:
    """A token as only somebody with the key could sign it."""
    text = f"{tokens.HEADER}.{encoded(payload)}"
    return f"{text}.{encoded(hmac.digest(SETTINGS.key('token.reset_password'), text.encode(), 'sha256'))}"


WORD = signed(json.dumps(GOOD).encode())


def verified(token: str) -> Claim | None:
    """What a token says, or None for a refusal; anything else is the caller's failure."""
    try:
        return tokens.verify(SETTINGS, RESET, token)
    except TokenInvalid:
        return None


def url_text(least: int, most: int) -> st.SearchStrategy[str]:
    return st.text(string.ascii_letters + string.digits + "-_", min_size=least, max_size=most)


# To find a text for `tokens.SHAPE` takes hypothesis a hundred times as long.
OF_OUR_SHAPE = st.builds(".".join, st.tuples(st.just(tokens.HEADER), url_text(1, 100), url_text(43, 43)))


@given(st.one_of(ANY_TEXT, OF_OUR_SHAPE, st.builds(".".join, st.lists(ANY_TEXT))))
def test_no_text_passes_for_a_token(text: str) -> None:
    """C13"""
    assert verified(text) is None


@given(st.integers(0, len(WORD) - 1), st.one_of(ANY_TEXT, st.characters()))
@example(len(WORD) - 1, "")
def test_a_token_with_a_part_exchanged_says_the_same_or_nothing(place: int, instead: str) -> None:
    """C13: the last sign has two bits that say nothing (RFC 4648, 3.5)."""
    changed = WORD[:place] + instead + WORD[place + 1 :]

    assert verified(changed) in {None, verified(WORD)}


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), ANY_TEXT)
ANY_JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
CLAIMS = {name: st.one_of(st.just(value), ANY_JSON) for name, value in GOOD.items()}
PAYLOADS = st.fixed_dictionaries({}, optional=CLAIMS | dict.fromkeys(["about", "nbf", "sub", "jti", "iss"], ANY_JSON))


@given(
    st.one_of(PAYLOADS, PAYLOADS.map(lambda some: GOOD | some), ANY_JSON).map(lambda some: json.dumps(some).encode())
)
@example(json.dumps(GOOD | {"nbf": float("inf")}).encode())
@deep
def test_whatever_our_own_key_has_signed_is_a_sound_claim_or_refused(payload: bytes) -> None:
    """C13"""
    claim = verified(signed(payload))

    if claim is not None:
        kinds = [type(part) for part in (claim.subject, claim.epoch, claim.expires_at, claim.about)]
        assert kinds == [int, int, int, str]


@given(st.binary(max_size=200))
def test_bytes_that_are_no_json_are_refused(payload: bytes) -> None:
    """C13"""
    with pytest.raises(TokenMalformed):
        tokens.verify(SETTINGS, RESET, signed(payload))


@given(st.one_of(ANY_TEXT, st.emails(), st.builds("{}@{}".format, ANY_TEXT, ANY_TEXT)))
@deep
def test_an_address_has_one_form_or_none(text: str) -> None:
    """C06, C08: what passes is plain, and passes again as it is."""
    address = accepted(canonical_address, text)

    if address:
        assert address.isascii()
        assert address == address.lower()
        assert not set(address) & set(' \t\r\n\x00,;:<>()[]\\"')
        assert (address.count("@"), len(address) <= 254) == (1, True)
        assert canonical_address(address) == canonical_identity(f" {address}\n") == address


@given(ANY_TEXT)
def test_a_name_or_address_has_one_form_or_none(text: str) -> None:
    """C06"""
    identity = accepted(canonical_identity, text)

    if identity:
        assert identity.isascii()
        assert canonical_identity(identity) == identity


def accepted(canonical: Callable[[str], str], text: str) -> str | None:
    """The one form of a text, or None if it was refused, in words."""
    try:
        return canonical(text)
    except ValueError as refused:
        return None if str(refused).endswith(".") else pytest.fail(f"no sentence: {refused}")


@given(st.one_of(ANY_TEXT, st.builds(";q=".join, st.lists(ANY_TEXT)), st.builds(",".join, st.lists(ANY_TEXT))))
@example("ru;q=nan,en;q=inf,;q=-1e999,ru;q=")
def test_whatever_language_is_wanted_one_of_ours_is_chosen(header: str) -> None:
    assert i18n.choose(header, ("en", "ru")) in {"en", "ru"}


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def site(
    request: pytest.FixtureRequest, migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A site on each kind of database, with susan."""
    url = request.getfixturevalue("standing_postgres_url") if request.param == "postgresql" else None
    changes = {"database_url": url} if url else {}
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("fuzzed"), mailer="process", **changes) as site:
        link = tokens.register_link(site.settings, "susan@example.com").partition(".example")[2]
        site.browser().post(link, data={"username": "susan", "password": PASSWORD})
        susan = site.browser()
        susan.post("/login", data={"username": "susan", "password": PASSWORD})
        site.app.state.cookie = f"__Host-session={susan.cookies['__Host-session']}"
        site.app.state.reset_path = f"/reset_password/{WORD}"
        site.app.state.register_path = tokens.register_link(site.settings, "new@example.com").partition(".example")[2]
        yield site


networks = (f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}" for number in itertools.count(1))


def asked(site: Site, method: str, path: str, *headers: tuple[str, str], body: bytes = b"") -> Answer:
    """What is answered to somebody from a network that nobody else comes from."""
    always = [("host", "blog.example"), ("x-forwarded-for", next(networks)), ("content-type", FORM)]
    answer = ask(site, method, path, [*always, *headers], body)
    assert answer.status < 500, answer.text
    return answer


FORM = "application/x-www-form-urlencoded"
FORMS = ["/login", "/register", "/reset_password_request", "{reset_path}", "{register_path}"]
FIELDS = ["username", "email", "password", "password2", "next", "remember_me", "code", "x"]
BODIES = st.one_of(
    st.binary(max_size=300),
    st.dictionaries(st.sampled_from(FIELDS), ANY_TEXT).map(lambda fields: urlencode(fields, errors="replace").encode()),
    st.lists(st.tuples(st.sampled_from(FIELDS), st.binary(max_size=60))).map(lambda fields: urlencode(fields).encode()),
)


@given(st.builds("{}{}".format, st.sampled_from(["", "/", "//", "/\\", "\\", "/\t/", "https:"]), ANY_TEXT))
@pytest.mark.alike
def test_wherever_a_log_in_is_to_lead_it_leads_here(site: Site, target: str) -> None:
    """C43: for a stranger who will log in, and for who is logged in already."""
    path = f"/login?next={quote(target, errors='replace')}"

    form, answer = asked(site, "GET", path), asked(site, "GET", path, ("cookie", site.app.state.cookie))

    location = dict(answer.headers)["location"]
    assert (form.status, answer.status) == (200, 303)
    assert (location[0], location[1:2] in {"/", "\\"}) == ("/", False)
    assert location.isascii()
    assert location.isprintable()


PATHS = ["/{}", "/register/{}", "/reset_password/{}", "/reset_password/{}/renew", "/static/{}", "/static/x/{}"]


@deep
@given(ANY_TEXT, st.sampled_from(PATHS))
def test_whatever_address_is_asked_for_is_answered(site: Site, text: str, path: str) -> None:
    """C46"""
    for method in ("GET", "POST"):
        asked(site, method, path.format(quote(text, safe="/", errors="replace")))


@deep
@given(HEADER, HEADER)
@pytest.mark.alike
def test_whatever_cookies_are_brought_they_are_a_strangers(site: Site, session: str, flash: str) -> None:
    """C26, and no flash but ours is said."""
    cookie = ("cookie", f"__Host-session={session}; __Host-flash={flash}")

    home, page = asked(site, "GET", "/", cookie), asked(site, "GET", "/login", cookie)

    assert (home.status, page.status) == (200, 200)
    assert home.text == asked(site, "GET", "/").text
    assert page.text == asked(site, "GET", "/login").text


@settings(max_examples=20)  # each costs a hash
@given(HEADER, HEADER, HEADER)
@deep
def test_whatever_a_browser_says_of_itself_it_may_log_in(site: Site, browser: str, spoken: str, referer: str) -> None:
    headers = [("user-agent", browser), ("accept-language", spoken), ("referer", referer), ("hx-current-url", referer)]
    body = urlencode({"username": "susan", "password": PASSWORD}).encode()

    assert asked(site, "POST", "/login", *headers, body=body).status == 303


@one_in(4)
@pytest.mark.parametrize("form", FORMS)
@given(body=BODIES, kind=st.sampled_from([{}, {"hx-request": "true", "hx-request-type": "partial"}]))
def test_whatever_a_form_brings_is_answered(site: Site, form: str, body: bytes, kind: dict[str, str]) -> None:
    """C46. After the log-ins, since a lucky body ends sessions or uses up what they may do."""
    path = form.format(**site.app.state._state)

    answer = asked(site, "POST", path, *kind.items(), body=body)

    assert answer.status in {200, 204, 303, 400, 410, 413, 422, 429}


@given(HEADER, st.integers(1, 3))
def test_what_stands_left_of_the_trusted_entries_never_counts(lies: str, hops: int) -> None:
    """C53"""
    chain = ", ".join(["203.0.113.9", "192.0.2.1", "192.0.2.2"][:hops])

    assert network_behind(hops, f"{lies}, {chain}") == "203.0.113.9"


@given(HEADER, st.integers(0, 3))
def test_whatever_is_said_of_the_way_a_network_is_a_short_plain_word(said: str, hops: int) -> None:
    """C53: it is a key of the limits, and stands in the tables."""
    network = network_behind(hops, said)

    assert network == "unknown" or set(network) <= set("0123456789abcdef.:/")
    assert len(network) <= 60


def network_behind(hops: int, forwarded: str) -> str:
    """The network of a request with such a header, on a site behind so many proxies."""
    site = Starlette()
    site.state.settings = replace(SETTINGS, trusted_proxies=hops)
    headers = [(b"x-forwarded-for", forwarded.encode("latin-1"))]
    return client_ip.of(Request({"type": "http", "headers": headers, "client": ("192.0.2.7", 1), "app": site}))
