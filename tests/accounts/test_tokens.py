"""The JWT helper: nothing forged, nothing of another kind, nothing too old, and keys that can be changed."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import time_machine
from sqlmodel import insert

from tests.depth import one_in, some
from tests.mailbox import Mailbox
from tests.sites import SECRET_KEY, Browser, Site
from tests.stories import NEW_PASSWORD, ask_for_reset, forget_and_find_link, is_logged_in, log_in, register
from tests.watching import execute, standing_site
from webapp.accounts import tokens
from webapp.accounts.models import AccountDeletion
from webapp.accounts.tokens import HEADER, Purpose, TokenExpired, TokenMalformed
from webapp.settings import Settings

RESET = Purpose.RESET_PASSWORD
TEN_MINUTES = timedelta(minutes=10)
SETTINGS = Settings(base_url="https://blog.example", secret_key=SECRET_KEY, database_url="sqlite+aiosqlite://")
KEY = SETTINGS.key("token.reset_password")
GOOD_HEADER: dict[str, Any] = {"alg": "HS256", "typ": "JWT"}
LATER = 4_000_000_000
GOOD: dict[str, Any] = {"reset_password": 1, "epoch": 0, "aud": "reset_password", "iat": 1_767_225_600, "exp": LATER}


def encoded(part: object) -> str:
    """One part of a token: bytes as they are, anything else as JSON."""
    raw = part if isinstance(part, bytes) else json.dumps(part, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signature(text: str, key: bytes = KEY, digest: str = "sha256") -> str:
    return encoded(hmac.digest(key, text.encode(), digest))


def signed(payload: object = GOOD, header: object = GOOD_HEADER, key: bytes = KEY, digest: str = "sha256") -> str:
    """A token as only somebody with the key could sign it, whatever stands in it."""
    text = f"{encoded(header)}.{encoded(payload)}"
    return f"{text}.{signature(text, key, digest)}"


def without(claim: str) -> dict[str, Any]:
    return {name: value for name, value in GOOD.items() if name != claim}


OTHER_ALGORITHMS: list[Any] = [
    "RS256",
    "RS512",
    "ES256",
    "PS256",
    "EdDSA",
    "hs256",
    "HS256 ",
    "dir",
    ["HS256"],
    {"a": 1},
]
ELSEWHERE: dict[str, dict[str, Any]] = {
    "kid": {"kid": "1"},
    "kid path": {"kid": "../../../dev/null"},
    "kid sql": {"kid": "' UNION SELECT 'x"},
    "jku": {"jku": "https://evil.example/keys"},
    "jwk": {"jwk": {"kty": "oct", "k": "AAAA"}},
    "x5u": {"x5u": "https://evil.example/cert"},
    "x5c": {"x5c": ["AAAA"]},
    "crit": {"crit": ["exp"]},
    "crit unknown": {"crit": ["bogus"], "bogus": True},
    "b64": {"b64": False, "crit": ["b64"]},
    "zip": {"zip": "DEF"},
    "cty": {"cty": "JWT"},
    "enc": {"enc": "A128GCM"},
    "typ at+jwt": {"typ": "at+jwt"},
    "typ null": {"typ": None},
}
NAN, INFINITY = float("nan"), float("inf")
ODD_TIMES: list[Any] = [NAN, INFINITY, -INFINITY, True, None, str(LATER), float(LATER), [LATER], {}, "never"]
ODD_AUDIENCES: list[Any] = ["", None, "register", 1, {}, [], ["register"], [1], True]
TEXT = f"{encoded(GOOD_HEADER)}.{encoded(GOOD)}"
SIGNATURE = signature(TEXT)
WORD = f"{TEXT}.{SIGNATURE}"
FORGED: dict[str, str] = {
    # No signature at all, in every way that was ever taken for one.
    **{
        f"alg {alg!r}, {kind}": f"{encoded({'alg': alg, 'typ': 'JWT'})}.{encoded(GOOD)}.{end}"
        for alg, (kind, end) in product(
            ["none", "None", "NONE", "nOnE", "", None, "none ", 0], [("unsigned", ""), ("signed", SIGNATURE)]
        )
    },
    **{f"alg {alg!r} unsigned, cut": f"{encoded({'alg': alg})}.{encoded(GOOD)}" for alg in ["none", "nOnE"]},
    "empty signature": f"{TEXT}.",
    "no signature": TEXT,
    # Other algorithms, with the right key.
    "HS384": signed(header={"alg": "HS384", "typ": "JWT"}, digest="sha384"),
    "HS512": signed(header={"alg": "HS512", "typ": "JWT"}, digest="sha512"),
    "HS384 said, HS256 done": signed(header={"alg": "HS384", "typ": "JWT"}),
    "HS256 said, HS384 done": signed(digest="sha384"),
    "HS256 said, SHA-1 done": signed(digest="sha1"),
    **{f"{alg} said, HS256 done": signed(header={"alg": alg, "typ": "JWT"}) for alg in OTHER_ALGORITHMS},
    # Other keys.
    **{
        f"signed with {name}": signed(key=key)
        for name, key in {
            "nothing": b"",
            "a word": b"secret",
            "zeros": bytes(32),
            "the raw secret": SECRET_KEY.encode(),
            "the hex of the key": KEY.hex().encode(),
            "the key of flashes": SETTINGS.key("flash"),
            "the key of registration": SETTINGS.key("token.register"),
            "the key of limits": SETTINGS.key("limits"),
            "an unnamed key": SETTINGS.key(""),
            "half of the key": KEY[:16],
        }.items()
    },
    # Headers that ask the verifier to look elsewhere, signed with the right key.
    **{f"header with {name}": signed(header={**GOOD_HEADER, **extra}) for name, extra in ELSEWHERE.items()},
    "header without typ": signed(header={"alg": "HS256"}),
    "header in another order": signed(header={"typ": "JWT", "alg": "HS256"}),
    "header with spaces": signed(header=b'{"alg": "HS256", "typ": "JWT"}'),
    "header with alg twice": signed(header=b'{"alg":"none","alg":"HS256","typ":"JWT"}'),
    **{f"header {header!r}": signed(header=header) for header in [[], "HS256", 1, None, {}, True, b"", b"\xff", b"{"]},
    # Claims that only a holder of the key could sign, and that must still not be believed.
    **{f"no {claim}": signed(without(claim)) for claim in GOOD},
    **{
        f"subject {subject!r}": signed(GOOD | {"reset_password": subject})
        for subject in ["1", 1.0, True, None, [1], {"id": 1}, "", "susan", INFINITY, NAN, -1, 0, 2**31]
    },
    **{
        f"epoch {epoch!r}": signed(GOOD | {"epoch": epoch})
        for epoch in ["0", 0.0, False, None, [0], {}, NAN, -INFINITY]
    },
    **{f"exp {expires_at!r}": signed(GOOD | {"exp": expires_at}) for expires_at in ODD_TIMES},
    **{f"aud {aud!r}": signed(GOOD | {"aud": aud}) for aud in ODD_AUDIENCES},
    "not before tomorrow": signed(GOOD | {"nbf": LATER}),
    "another claim for this one": signed(without("reset_password") | {"register": 1}),
    "a claim in capitals": signed(without("reset_password") | {"RESET_PASSWORD": 1}),
    **{
        f"payload {payload!r}"[:60]: signed(payload)
        for payload in [[], "text", 1, None, True, {}, b"", b"\xff\xfe", b"{", b"not json", b"[" * 400, WORD, [GOOD]]
    },
    "payload with a surrogate": signed(json.dumps(GOOD | {"reset_password": "\ud800"}).encode()),
    "nested": signed(WORD.encode()),
    # Signatures that are nearly right.
    "first bit of the signature": f"{TEXT}.{'A' if SIGNATURE[0] != 'A' else 'B'}{SIGNATURE[1:]}",
    "signature cut": f"{TEXT}.{SIGNATURE[:-1]}",
    "signature longer": f"{TEXT}.{SIGNATURE}A",
    "signature twice": f"{TEXT}.{SIGNATURE}{SIGNATURE}",
    "signature padded": f"{TEXT}.{SIGNATURE}=",
    "signature in hex": f"{TEXT}.{hmac.digest(KEY, TEXT.encode(), 'sha256').hex()}",
    "signature of nothing": f"{TEXT}.{signature('')}",
    "signature of the payload alone": f"{TEXT}.{signature(encoded(GOOD))}",
    "signature reversed": f"{TEXT}.{SIGNATURE[::-1]}",
    "signature in capitals": f"{TEXT}.{SIGNATURE.upper()}",
    "a plain digest": f"{TEXT}.{encoded(hashlib.sha256(TEXT.encode()).digest())}",
    "payload changed": f"{encoded(GOOD_HEADER)}.{encoded(GOOD | {'reset_password': 2})}.{SIGNATURE}",
    "payload padded": f"{encoded(GOOD_HEADER)}.{encoded(GOOD)}=.{SIGNATURE}",
    # What is no token.
    **{
        f"text {number}, {text[:24]!r}": text
        for number, text in enumerate(
            [
                "a",
                "a.b.c",
                "null",
                "undefined",
                "[object Object]",
                "{token}",
                "0",
                "-1",
                "true",
                "' OR 1=1 --",
                "{{7*7}}",
                "<script>alert(1)",
                "%s%n",
                "a" * 1025,
                "a" * 1_000_000,
                f"{HEADER}.{'a' * 1_000_000}.{SIGNATURE}",
                f"{HEADER}.a.",
                f"{HEADER}..{SIGNATURE}",
                f"{HEADER}.e30.{SIGNATURE}",
                f"{WORD}.{SIGNATURE}",
                f"{WORD}.a.a",
                f" {WORD}",
                f"{WORD} ",
                f"{WORD}\n",
                f"\n{WORD}",
                f"{WORD}\x00",
                f"\x00{WORD}",
                f"\ufeff{WORD}",
                f"{WORD}\u200b",
                WORD.replace(".", "\uff0e"),
                WORD.replace(".", "\u2024"),
                WORD.replace("A", "\u0410"),
                WORD.replace(".", ".."),
                WORD.swapcase(),
                WORD.upper(),
                WORD.lower(),
                WORD[1:],
                WORD[:-10],
                WORD[::-1],
                f"{WORD},{WORD}",
                f'"{WORD}"',
                f"Bearer {WORD}",
                "\udcff" + WORD,
                "\u0661" * 43,
                json.dumps({"payload": encoded(GOOD), "signature": SIGNATURE}),
            ]
        )
    },
}


@pytest.fixture(scope="module")
def standing(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site on which susan is the account number 1, in the epoch 0; 1 and 2 are changes of her address."""
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("standing"), member_invites=1) as site:
        assert site.mailbox
        register(site.browser(), site.mailbox)
        moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        for confirmed_at in (None, moment):
            execute(
                site,
                "INSERT INTO address_change (user_id, epoch, old_email, new_email, created_at, confirmed_at)"
                " VALUES (1, 0, 'susan@example.com', 'susan@example.net', :moment, :confirmed_at)",
                moment=moment,
                confirmed_at=confirmed_at,
            )
        execute(site, insert(AccountDeletion).values(user_id=1, due_at=datetime.now(UTC) + TEN_MINUTES))
        execute(
            site,
            "INSERT INTO factor (user_id, kind, secret, sealed_with, last_step, spent_ahead, created_at)"
            " VALUES (1, 'passkey', '', '', 0, '', :moment)",
            moment=moment,
        )
        execute(
            site,
            "INSERT INTO invite (user_id, epoch, name, places, taken, created_at, expires_at)"
            " VALUES (1, 0, '', 1, 0, :moment, '2999-01-01 00:00:00.000000')",
            moment=moment,
        )
        yield site


@pytest.fixture(scope="module")
def mangled_page(standing: Site) -> str:
    return standing.browser().get("/reset_password/cut-off").text


def test_the_forged_tokens_differ_from_a_good_one_in_one_thing_each(standing: Site) -> None:
    """C13: one thing at a time is wrong with those that are forged."""
    assert len(FORGED) > 150
    assert tokens.verify(SETTINGS, RESET, WORD) == tokens.Claim(1, 0, LATER)
    assert signed() == WORD
    assert standing.browser().get(f"/reset_password/{WORD}").status_code == 200


# A number that no account has: the helper believes its own key, the page looks for the account.
OF_NOBODY = {"subject 0"}
# What a client can't even ask for: longer than any URL, or no text.
UNSPEAKABLE = {kind for kind, token in FORGED.items() if len(token) > 60_000 or "\udcff" in token}


@pytest.mark.parametrize("kind", [kind for kind in FORGED if kind not in OF_NOBODY])
def test_a_forged_token_is_refused(kind: str) -> None:
    """C13"""
    with pytest.raises(TokenMalformed):
        tokens.verify(SETTINGS, RESET, FORGED[kind])


# What a mail program or a person does to a whole link: the token is refused, its page leads to the one that was meant.
PASTED = {
    kind
    for kind, token in FORGED.items()
    if token in {f"{WORD} ", f" {WORD}", f"{WORD}\n", f"\n{WORD}", f"\ufeff{WORD}", f"{WORD}\u200b", f'"{WORD}"'}
}


@pytest.mark.parametrize("kind", some([kind for kind in FORGED if kind not in UNSPEAKABLE | PASTED | OF_NOBODY], 4))
@one_in(4)
def test_a_forged_link_gets_the_one_page_and_changes_nothing(standing: Site, mangled_page: str, kind: str) -> None:
    """C13"""
    browser = standing.browser()
    path = f"/reset_password/{quote(FORGED[kind], safe='')}"

    answers = [browser.get(path), browser.post(path, data={"password": NEW_PASSWORD}), browser.post(f"{path}/renew")]

    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert {answer.text for answer in answers} == {mangled_page}


@pytest.mark.parametrize(
    "purpose", [purpose for purpose in Purpose if purpose not in {Purpose.REGISTER, Purpose.ADD_APP}]
)
def test_a_whole_link_of_an_account_that_is_gone_does_not_blame_the_email(standing: Site, purpose: Purpose) -> None:
    """It was said to be cut off, and people copied it again and again."""
    about = "mention" if purpose is Purpose.UNSUBSCRIBE else ""
    path = ENDPOINTS[purpose].format(tokens.issue(standing.settings, purpose, 999, TEN_MINUTES, about=about))

    for answer in (standing.browser().get(path), standing.browser().post(path)):
        assert answer.status_code == 410
        assert "incomplete" not in answer.text
        assert "Email me a fresh link" not in answer.text


@pytest.mark.parametrize("bytes_in_path", ["%ED%A0%80", "%FF%FE", "%C0%AE", "%00", "%0d%0aX:%20y"])
def test_odd_bytes_in_a_link_are_no_error(standing: Site, bytes_in_path: str) -> None:
    """C13: lone surrogates, and bytes that are no text."""
    answer = standing.browser().get(f"/reset_password/{WORD}{bytes_in_path}")

    assert answer.status_code == 404
    assert "x" not in answer.headers


def issued(purpose: Purpose) -> str:
    if purpose is Purpose.NOT_ME:
        return tokens.not_me_link(SETTINGS, 1, "new_sign_in", "susan@example.com").rpartition("/")[2]
    subjects: dict[Purpose, int | str] = {Purpose.REGISTER: "nobody@example.com", Purpose.UNDO_EMAIL: 2}
    about = "mention" if purpose is Purpose.UNSUBSCRIBE else ""
    return tokens.issue(SETTINGS, purpose, subjects.get(purpose, 1), TEN_MINUTES, about=about)


PAIRS = list(product(Purpose, Purpose))


def passes(token: str, used_for: Purpose) -> bool:
    try:
        return bool(tokens.verify(SETTINGS, used_for, token))
    except TokenMalformed:
        return False


def test_a_token_of_one_kind_never_passes_as_another() -> None:
    """C14: only the diagonal."""
    passed = [(made_for, used_for) for made_for, used_for in PAIRS if passes(issued(made_for), used_for)]

    assert passed == [(purpose, purpose) for purpose in Purpose]


ENDPOINTS = {
    Purpose.RESET_PASSWORD: "/reset_password/{}",
    Purpose.REGISTER: "/register/{}",
    Purpose.NOT_ME: "/not_me/{}",
    Purpose.CONFIRM_EMAIL: "/confirm_email/{}",
    Purpose.UNDO_EMAIL: "/undo_email/{}",
    Purpose.UNSUBSCRIBE: "/unsubscribe/{}",
    Purpose.UNDO_DELETION: "/undo_deletion/{}",
    Purpose.FACTOR_REMOVAL: "/factor_removal/{}",
    Purpose.KEEP_FACTORS: "/keep_factors/{}",
    Purpose.CHECKUP: "/checkup_email/{}",
    Purpose.INVITE: "/invite/{}",
}  # and the one for who is logged in: tests/sign_in_methods/test_app_link.py


@pytest.mark.parametrize("used_for", [purpose for purpose in Purpose if purpose is not Purpose.ADD_APP])
@one_in(3)
def test_a_link_of_one_kind_opens_no_other_page(standing: Site, used_for: Purpose) -> None:
    """C14"""
    browser, path = standing.browser(), ENDPOINTS[used_for]

    statuses = {made_for: browser.get(path.format(issued(made_for))).status_code for made_for in Purpose}

    assert statuses == {made_for: 200 if made_for is used_for else 404 for made_for in Purpose}


# What outlives a new password and a new address, and why.
NOT_OF_AN_EPOCH = {
    Purpose.REGISTER: "is about a mailbox, not an account",
    Purpose.NOT_ME: "gives power back, to the mailbox that it was sent to",
    Purpose.CONFIRM_EMAIL: "does not: the change that it is about has the epoch",
    Purpose.INVITE: "does not: the invitation has the epoch",
    Purpose.UNDO_EMAIL: "gives power back",
    Purpose.UNDO_DELETION: "gives power back",
    Purpose.UNSUBSCRIBE: "turns off optional emails; turns them on only while the account has that mailbox",
}


@pytest.mark.parametrize("purpose", [purpose for purpose in ENDPOINTS if purpose not in NOT_OF_AN_EPOCH])
def test_a_link_ends_with_the_epoch(standing: Site, purpose: Purpose) -> None:
    """So that nothing is left in the old mailbox when the address has changed."""
    path = ENDPOINTS[purpose].format(tokens.issue(standing.settings, purpose, 1, TEN_MINUTES, epoch=99))

    assert standing.browser().get(path).status_code == 410


@pytest.mark.parametrize("purpose", [purpose for purpose in ENDPOINTS if purpose is not Purpose.INVITE])
@one_in(3)
def test_the_page_of_an_expired_link_leads_on(standing: Site, purpose: Purpose) -> None:
    """And not only to the start page. Of an invitation it says who can give another."""
    subject = "nobody@example.com" if purpose is Purpose.REGISTER else 1
    late = tokens.issue(SETTINGS, purpose, subject, timedelta(minutes=-5))

    page = standing.browser().get(ENDPOINTS[purpose].format(late))

    panel = page.text.partition('id="panel"')[2].partition("</section>")[0]
    ways = re.findall(r'class="button[^"]*" href="([^"]+)"|action="([^"]+)"', panel)
    assert (page.status_code, "This link has expired" in panel) == (410, True)
    assert {"".join(way) for way in ways} - {"/"}


def test_a_whole_link_of_a_key_that_was_dropped_is_not_just_called_cut_off(standing: Site) -> None:
    dropped = replace(SETTINGS, secret_key="a key of last year: 0123456789abcdef0123456789abcdef")
    subjects = {purpose: "nobody@example.com" if purpose is Purpose.REGISTER else 1 for purpose in ENDPOINTS}

    for purpose, path in ENDPOINTS.items():
        page = standing.browser().get(path.format(tokens.issue(dropped, purpose, subjects[purpose], TEN_MINUTES)))
        assert (page.status_code, "the site has stopped accepting it" in page.text) == (404, True)


@pytest.mark.parametrize("purpose", list(Purpose))
def test_each_kind_has_a_claim_an_audience_and_a_key_of_its_own(purpose: Purpose) -> None:
    """C14: any one of the three would keep the kinds apart."""
    token = issued(purpose)
    payload = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))

    assert payload["aud"] == purpose.value
    assert purpose.value in payload
    assert not {other.value for other in Purpose if other is not purpose} & set(payload)
    text, _dot, signed_with = token.rpartition(".")
    keys = {SETTINGS.key(f"token.{other}") for other in Purpose}
    assert [key for key in keys if signature(text, key) == signed_with] == [SETTINGS.key(f"token.{purpose}")]
    assert len(keys) == len(Purpose)


def test_a_token_is_not_a_session_or_a_flash_and_a_session_is_not_a_token(standing: Site) -> None:
    """C14"""
    cookies = standing.browser()
    log_in(cookies)
    browser = standing.browser()
    browser.cookies.set("__Host-session", WORD, domain="blog.example")
    browser.cookies.set("__Host-flash", WORD, domain="blog.example")

    answers = [standing.browser().get(f"/reset_password/{value}") for value in cookies.cookies.values()]

    assert not is_logged_in(browser)
    assert browser.get("/login").status_code == 200
    assert [answer.status_code for answer in answers] == [404] * len(cookies.cookies)


@pytest.mark.parametrize(
    ("said", "claim"),
    [
        ({}, tokens.Claim(7, 0, 1_900_000_600)),
        ({"epoch": 3}, tokens.Claim(7, 3, 1_900_000_600)),
        ({"about": "register"}, tokens.Claim(7, 0, 1_900_000_600, "register")),
    ],
)
def test_a_token_says_what_was_put_into_it_and_no_more(said: dict[str, Any], claim: tokens.Claim) -> None:
    with time_machine.travel(1_900_000_000, tick=False):
        token = tokens.issue(SETTINGS, RESET, 7, TEN_MINUTES, **said)
        verified = tokens.verify(SETTINGS, RESET, token)

    payload = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert verified == claim
    assert payload.keys() == {"reset_password", "epoch", "aud", "iat", "exp"} | (said.keys() & {"about"})


@pytest.mark.parametrize("second", [-1, 0, 599, 599.99])
def test_a_token_works_until_it_expires(second: float) -> None:
    """C15"""
    with time_machine.travel(1_900_000_000, tick=False):
        token = issued(RESET)

    with time_machine.travel(1_900_000_000 + second, tick=False):
        assert tokens.verify(SETTINGS, RESET, token).expires_at == 1_900_000_600


@pytest.mark.parametrize(("second", "minutes"), [(600, 0), (659.9, 0), (660, 1), (10**7, 166_656)])
def test_an_expired_token_is_refused_and_says_since_when(second: float, minutes: int) -> None:
    """C15"""
    with time_machine.travel(1_900_000_000, tick=False):
        token = issued(RESET)

    with time_machine.travel(1_900_000_000 + second, tick=False), pytest.raises(TokenExpired) as refused:
        tokens.verify(SETTINGS, RESET, token)

    assert refused.value.minutes == minutes
    assert refused.value.claim.subject == 1


def test_a_link_stays_short_enough_for_any_mail_program() -> None:
    longest = tokens.issue(SETTINGS, Purpose.REGISTER, "a" * 64 + "@" + "b" * 185 + ".com", TEN_MINUTES)

    assert len(longest) < 1000
    assert tokens.verify(SETTINGS, Purpose.REGISTER, longest)
    assert len(issued(RESET)) < 250


OLD, NEW = "an older key: 0123456789abcdef0123456789", "the new key: 9876543210fedcba9876543210"


def with_keys(current: str, *fallbacks: str) -> Settings:
    return Settings(
        base_url="https://blog.example", secret_key=current, secret_key_fallbacks=fallbacks, database_url="sqlite://"
    )


def test_a_key_is_changed_without_breaking_links() -> None:
    """C22: the old key verifies during the overlap, and no longer than it."""
    token = tokens.issue(with_keys(OLD), RESET, 1, TEN_MINUTES)

    assert tokens.verify(with_keys(NEW, OLD), RESET, token).subject == 1
    with pytest.raises(TokenMalformed):
        tokens.verify(with_keys(NEW), RESET, token)


def test_during_the_overlap_the_new_key_signs() -> None:
    """C22"""
    token = tokens.issue(with_keys(NEW, OLD), RESET, 1, TEN_MINUTES)

    assert tokens.verify(with_keys(NEW), RESET, token).subject == 1
    with pytest.raises(TokenMalformed):
        tokens.verify(with_keys(OLD), RESET, token)


@pytest.mark.parametrize("made_for", list(Purpose))
def test_an_old_key_verifies_no_other_kind_either(made_for: Purpose) -> None:
    """C14, C22"""
    subject: int | str = "a@example.com" if made_for is Purpose.REGISTER else 1
    token = tokens.issue(with_keys(OLD), made_for, subject, TEN_MINUTES)

    for other in set(Purpose) - {made_for}:
        with pytest.raises(TokenMalformed):
            tokens.verify(with_keys(NEW, OLD), other, token)


def test_links_and_flashes_live_through_a_change_of_the_key(
    sqlite_url: str, make_settings: Callable[..., Settings], start_site: Callable[[Settings], Site]
) -> None:
    """C22: the whole site, with the key before, during and after."""

    def site_with(**keys: object) -> Site:
        return start_site(make_settings(database_url=sqlite_url, **keys))

    before = site_with(secret_key=OLD)
    assert before.mailbox
    mailbox: Mailbox = before.mailbox
    register(before.browser(), mailbox)
    link = forget_and_find_link(before.browser(), mailbox)
    visitor = before.browser(follow_redirects=False)
    panel = ask_for_reset(visitor, "nobody").headers["location"]
    log_in(visitor)
    visitor.post("/logout")
    during, after = site_with(secret_key=NEW, secret_key_fallbacks=(OLD,)), site_with(secret_key=NEW)

    def carried(site: Site) -> Browser:
        browser = site.browser()
        browser.cookies.update(visitor.cookies)
        return browser

    assert during.browser().get(link).status_code == 200
    assert "an account for <strong>nobody</strong>" in during.browser().get(panel).text
    assert "logged out." in carried(during).get("/login").text
    assert after.browser().get(link).status_code == 404
    assert after.browser().get(panel).status_code == 404
    assert "logged out." not in carried(after).get("/login").text
