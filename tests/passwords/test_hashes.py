"""Hashes made by other software: read by their shape, paid for by everybody, and hashed again at the first log-in."""

import hashlib
import re
import unicodedata
from collections.abc import Callable
from typing import Any

import argon2
import bcrypt
import pytest

from tests.depth import deep, one_in
from tests.imported import add_accounts
from tests.mailbox import Mailbox
from tests.sites import Site
from tests.stories import PASSWORD, log_in, register
from tests.watching import execute
from webapp.passwords import hashes
from webapp.passwords.hasher import ARGON2, Hasher

# As Werkzeug 3.1.9, Django 6.1.3 and bcrypt-ruby's $2a$ write the password of the tests.
MADE = {
    "Werkzeug": "scrypt:32768:8:1$FQOvNig3hXXBx43e$7d6d61d0ecb3dfd7f2e5201b644f410ddcbeed24cbc95d9f7907621d868db04634"
    "efaafaecae974bd5894ea29e6b5da7e7758d0df0cd936915b5eba63263be4d",
    "Werkzeug of old": "pbkdf2:sha256:1000$v8s0ClmPZINhS5FB$cd28e7dfa939db80ffe32916730d4b180e984191370b433ac4aac9c1"
    "7bac3124",
    "Werkzeug, SHA-512": "pbkdf2:sha512:1000$bSgxdGfslG03qqw0$d32bf3532fe753fa851106eadc88cb705c40b57f07219b3d3e6733"
    "c8a9f121964d6d7163baeaffb59941e61a14782b00aaa3064bfd277a524cb361e972a4e188",
    "Werkzeug, SHA-1": "pbkdf2:sha1:1000$3lmsTnuU32e9PNHI$4ef4d0b3d755bf969247152bcd2148efb3eda2b8",
    "Django": "pbkdf2_sha256$1000$XkrBBqwJU8NVE1emRPqN8U$wwUeEACI13/1NO4XWNQ9wJOsq1ImNTav3Ket312pUlQ=",
    "Django, SHA-1": "pbkdf2_sha1$1000$zWFXgy5pnTbzD3RINkPzkw$HO1gwbQBWRwhBXMLPByamJsrOSQ=",
    "Django, argon2": "argon2$argon2id$v=19$m=102400,t=2,p=8$REU0MnlEUHJlNmkydHo3ZzVZMnF4SA"
    "$y9xsdjFhdFLp2aWjq5GG+TbPmrwh8qmXhkivGNB89uI",
    "Django, bcrypt over SHA-256": "bcrypt_sha256$$2b$04$6HGERiOlTVwjz9bhAokXZu/gpemwpKzi.iTZLP9uKkm1aYcDVkI3G",
    "Django, bcrypt": "bcrypt$$2b$04$80Q7RUHmQcah.8QOTVJzn.1zLeAJNJuhXloouw1jLkiGtexhZo0A2",
    "Django, scrypt": "scrypt$16384$UcRhVcYOjeRCMpyXJIsCsz$8$5$kPMv6ENX7yJBBh4EOjl8XFt3o5HVv2Uirono/4f89jyxBEAnb2+bpBff"
    "EZGwPqRNNyde4Cjvfh0JISMzOicggQ==",
    "Devise": "$2a$04$80Q7RUHmQcah.8QOTVJzn.1zLeAJNJuhXloouw1jLkiGtexhZo0A2",
    "Laravel": "$2y$04$80Q7RUHmQcah.8QOTVJzn.1zLeAJNJuhXloouw1jLkiGtexhZo0A2",
}
CHEAP = ("Werkzeug of old", "Django, bcrypt over SHA-256", "Devise")


@deep
@pytest.mark.parametrize("software", MADE)
@one_in(4)
def test_a_hash_is_read_as_others_write_it_and_is_that_of_the_password_alone(software: str) -> None:
    kept = hashes.read(MADE[software])

    assert hashes.is_sound(kept)
    assert len(hashes.cost_of(kept)) <= 60
    assert hashes.is_of(ARGON2, PASSWORD, kept)
    assert not hashes.is_of(ARGON2, f"{PASSWORD}!", kept)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", hashes.UNKNOWN),
        ("plain text", hashes.UNKNOWN),
        ("sha256$salt$0c0beacef8877bbf2416eb00f2b5dc96354e26dd1df5517320459b1236860f8c", hashes.UNKNOWN),
        ("md5$salt$0c0beacef8877bbf2416eb00f2b5dc96", hashes.UNKNOWN),
        ("$2x$04$80Q7RUHmQcah.8QOTVJzn.1zLeAJNJuhXloouw1jLkiGtexhZo0A2", hashes.UNKNOWN),
        ("$2b$12$abcdefghijklmnopqrstuv", hashes.UNKNOWN),
        ("$2b$03$80Q7RUHmQcah.8QOTVJzn.1zLeAJNJuhXloouw1jLkiGtexhZo0A2", hashes.UNKNOWN),
        ("$2b$14$80Q7RUHmQcah.8QOTVJzn.1zLeAJNJuhXloouw1jLkiGtexhZo0A2", hashes.TOO_COSTLY),
        (MADE["Werkzeug"].replace("32768", "32767"), hashes.UNKNOWN),
        (MADE["Werkzeug"].replace(":8:1", ":0:1"), hashes.UNKNOWN),
        (MADE["Werkzeug"].replace("32768", "1048576"), hashes.TOO_COSTLY),
        (MADE["Werkzeug"].replace(":8:1", ":8:99"), hashes.TOO_COSTLY),
        (MADE["Werkzeug"][:-2], hashes.UNKNOWN),
        (MADE["Django, scrypt"].replace("16384", "33554432"), hashes.TOO_COSTLY),
        (MADE["Django"].replace("1000", "1500001"), hashes.TOO_COSTLY),
        (MADE["Django"].replace("1000", "0"), hashes.UNKNOWN),
        (MADE["Django"].replace("wwUe", "!wUe"), hashes.UNKNOWN),
        (MADE["Django"].replace("1000$", "1000$" + "x" * 65), hashes.UNKNOWN),
        (MADE["Werkzeug, SHA-512"].replace("1000$", "1000$" + "x" * 40), hashes.UNKNOWN),
        (MADE["Werkzeug of old"].replace("sha256", "sha512"), hashes.UNKNOWN),
        (MADE["Django, argon2"].replace("102400", "4194304"), hashes.TOO_COSTLY),
        (MADE["Django, argon2"] + "\n", hashes.UNKNOWN),
    ],
    ids=str,
)
def test_what_cannot_be_checked_is_told_from_what_costs_too_much(text: str, words: str) -> None:
    """C49: one hash of 4 GiB would end the process at the next log-in."""
    with pytest.raises(ValueError, match=re.escape(words)):
        hashes.read(text)


def test_bcrypt_looks_at_the_first_72_bytes_as_it_did_elsewhere() -> None:
    long = "longer than seventy-two bytes, which is all that bcrypt ever looks at: \u043f\u0430\u0440\u043e\u043b\u044c"
    kept = hashes.read("$2b$04$zpU0fFM7XqbTWjfbhWPeTuEutSWv1..yGfsSGp6PQhHyFi2aZTjOe")

    assert hashes.is_of(ARGON2, long, kept)
    assert not hashes.is_of(ARGON2, long[:-10], kept)


def test_a_salt_with_bits_to_spare_is_read_as_bcrypt_reads_it() -> None:
    kept = hashes.read("$2a$04$80Q7RUHmQcah.8QOTVJznA1zLeAJNJuhXloouw1jLkiGtexhZo0A2")

    assert hashes.is_of(ARGON2, PASSWORD, kept)


def test_what_a_cheaper_hash_leaves_of_its_share_is_spent_to_the_last_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[int] = []
    pbkdf2, hashpw = hashlib.pbkdf2_hmac, bcrypt.hashpw

    def counted_pbkdf2(name: str, password: bytes, salt: bytes, iterations: int) -> bytes:
        turns.append(iterations)
        return pbkdf2(name, password, salt, 1)

    def counted_bcrypt(password: bytes, salt: bytes) -> bytes:
        turns.append(2 ** int(salt[4:6]))
        return hashpw(password, salt)

    monkeypatch.setattr(hashlib, "pbkdf2_hmac", counted_pbkdf2)
    monkeypatch.setattr(bcrypt, "hashpw", counted_bcrypt)

    for cost in ("pbkdf2:sha256:600000$", "$2b$07$", "sha256$2b$07$"):
        _kind, whole = hashes.share(cost)
        for spent in (0, 16, whole // 4, whole):
            turns.clear()
            hashes.spend(ARGON2, PASSWORD, cost, spent)
            assert sum(turns) + spent == whole


def work_of(site: Site, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How much of each kind of work is done from now on."""
    done: dict[str, int] = {}
    pbkdf2, hashpw = hashlib.pbkdf2_hmac, bcrypt.hashpw

    def add(kind: str, much: int = 1) -> None:
        done[kind] = done.get(kind, 0) + much

    def counted_pbkdf2(name: str, password: bytes, salt: bytes, iterations: int) -> bytes:
        add("pbkdf2", iterations)
        return pbkdf2(name, password, salt, iterations)

    def counted_bcrypt(password: bytes, salt: bytes) -> bytes:
        add("bcrypt", 2 ** int(salt[4:6]))
        return hashpw(password, salt)

    monkeypatch.setattr(hashlib, "pbkdf2_hmac", counted_pbkdf2)
    monkeypatch.setattr(bcrypt, "hashpw", counted_bcrypt)
    site.argon2.meanwhile = add
    return done


@deep
def test_every_log_in_does_the_same_work_whoever_made_the_hash(
    any_site: Site, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C02, C12: also one whose hash has fewer turns than another's, one without a password, and nobody."""
    register(any_site.browser(), mailbox)
    dearer = MADE["Werkzeug of old"].replace("1000", "30000"), MADE["Devise"].replace("$04$", "$06$")
    people = {
        **{f"user{number}": MADE[software] for number, software in enumerate(CHEAP)},
        **{f"dear{number}": each for number, each in enumerate(dearer)},
        "without": "",
    }
    add(any_site, people)
    done, seen = work_of(any_site, monkeypatch), {}

    for name in ("susan", "nobody_here", *people):
        done.clear()
        log_in(any_site.browser(), name, "not the right password")
        seen[name] = dict(done)

    assert seen["susan"] == {"verify": 1, "pbkdf2": 30000, "bcrypt": 2**6 + 2**4}
    assert [name for name in seen if seen[name] != seen["susan"]] == []


@deep
def test_a_hash_from_elsewhere_is_made_anew_at_the_first_log_in(site: Site) -> None:
    people = {f"user{number}": MADE[software] for number, software in enumerate(CHEAP)}
    add(site, people)

    wrong = [log_in(site.browser(), name, "not the right password").status_code for name in people]
    before = stored(site)
    first = [log_in(site.browser(), name).url.path for name in people]
    after = stored(site)
    second = [log_in(site.browser(), name).url.path for name in people]

    assert (wrong, first, second) == ([422] * 3, ["/"] * 3, ["/"] * 3)
    assert before == [hashes.read(each) for each in people.values()]
    assert all(each.startswith("$argon2id$") for each in after)
    assert stored(site) == after


FORMS: dict[str, Callable[[str], str]] = {
    "as it is hashed": lambda text: unicodedata.normalize("NFKC", text),
    "from a Mac": lambda text: unicodedata.normalize("NFD", text),
    "as it is": lambda text: text,
}
TYPED = "\ufb01nf gr\u00f6\u00dfere K\u00e4fer \u2163"  # a ligature and a Roman number, which NFKC spells out


@deep
@pytest.mark.parametrize("now", FORMS)
@pytest.mark.parametrize("then", FORMS)
@one_in(9)
async def test_a_password_is_the_same_however_a_keyboard_sends_it(anyio_backend: str, then: str, now: str) -> None:
    """SP 800-63B-4, 3.1.1.2."""
    hasher = Hasher()

    stored = await hasher.hash(None, FORMS[then](TYPED))

    assert await hasher.is_right(None, FORMS[now](TYPED), stored)
    assert not await hasher.is_right(None, FORMS[now](TYPED) + "\u0308", stored)


@pytest.mark.parametrize("made_of", FORMS)
@deep
def test_an_older_hash_opens_by_the_form_it_was_made_of_and_is_made_anew(site: Site, made_of: str) -> None:
    old = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(FORMS[made_of](TYPED))
    add(site, {"susan": old})

    first = log_in(site.browser(), "susan", TYPED)
    after = stored(site)
    second = log_in(site.browser(), "susan", unicodedata.normalize("NFD", TYPED))

    assert (first.url.path, second.url.path) == ("/", "/")
    assert (after == [old]) == (made_of == "as it is hashed")
    assert stored(site) == after


def test_how_much_work_a_form_makes_depends_on_what_was_typed_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(site, {"susan": MADE["Werkzeug of old"]})
    done, seen = work_of(site, monkeypatch), {}

    for name in ("susan", "nobody_here"):
        for typed in ("plain letters only", TYPED):
            done.clear()
            log_in(site.browser(), name, typed)
            seen[name, typed] = dict(done)

    assert seen["susan", TYPED] == seen["nobody_here", TYPED] == {"verify": 3, "pbkdf2": 3000}
    assert seen["susan", "plain letters only"] == seen["nobody_here", "plain letters only"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@deep
def test_the_longest_password_is_as_long_from_a_mac(site: Site, mailbox: Mailbox, form: Any) -> None:
    """C47: 256 characters as people count them."""
    longest = ("p\u00e4ss w\u00f6rd " * 40)[:255] + "!"
    register(site.browser(), mailbox, password=unicodedata.normalize("NFD", longest))

    assert log_in(site.browser(), password=unicodedata.normalize(form, longest)).url.path == "/"
    longer = log_in(site.browser(), password=unicodedata.normalize(form, f"{longest}\u00e4"))
    assert "Use 256 characters or fewer" in longer.text


def test_twelve_characters_are_twelve_however_they_are_sent(site: Site, mailbox: Mailbox) -> None:
    eleven = "h\u00e4\u00f6\u00fc x\u00e9\u00e8 w\u00ef"
    browser = site.browser()
    browser.post("/register", data={"email": "susan@example.com"})

    data = {"username": "susan", "password": unicodedata.normalize("NFD", eleven)}
    answer = browser.post(mailbox.link(to="susan@example.com"), data=data)

    assert len(eleven) == 11
    assert "Too short." in answer.text


def add(site: Site, people: dict[str, str]) -> None:
    lines = [f"{name},{name}@example.org,{hash_}" for name, hash_ in people.items() if "," not in hash_]
    lines += [f'{name},{name}@example.org,"{hash_}"' for name, hash_ in people.items() if "," in hash_]

    async def work() -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            assert await add_accounts(db, site.settings, "\n".join(["username,email,password_hash", *lines])) == []
            await db.commit()

    site.run(work)


def stored(site: Site) -> list[str]:
    return [hash_ for (hash_,) in execute(site, "SELECT password_hash FROM user_account ORDER BY id")]
