"""Settings: what the environment can say, and what a deployed site refuses to start with (C58)."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import fields, replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.depth import deep
from tests.sites import Site
from tests.stories import register
from webapp import i18n
from webapp.settings import EPHEMERAL_PLATFORMS, ROOT, Misconfigured, Settings, environment
from webapp.settings.problems import Problem

KEY = "0123456789abcdef0123456789abcdef-a-key"
GOOD = {
    "BASE_URL": "https://blog.example",
    "SECRET_KEY": KEY,
    "DATABASE_URL": "postgresql://site:db-secret@db.example/site",
    "MAIL_SERVER": "smtp.example",
    "MAIL_USE_TLS": "1",
}


LOG_IN = {"MAIL_USERNAME": "postman", "MAIL_PASSWORD": "knocks twice"}


def read(**changes: str) -> Settings:
    return Settings.from_environment(GOOD | changes)


def refusals(**changes: str) -> list[Problem]:
    with pytest.raises(Misconfigured) as refused:
        read(**changes)
    return refused.value.problems


def test_a_good_environment_is_read() -> None:
    settings = read()

    assert (settings.base_url, settings.host, settings.is_https) == ("https://blog.example", "blog.example", True)
    assert settings.database_url.endswith("://site:db-secret@db.example/site")
    assert (settings.mail_server, settings.mail_port, settings.mail_use_tls) == ("smtp.example", 587, True)
    assert settings.sender == "Microblog <no-reply@blog.example>"
    assert (settings.mailer, settings.development, settings.mailbox) == ("web", False, None)


@deep
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY is missing"),
        ({"SECRET_KEY": "dev"}, "SECRET_KEY is too easy to guess"),
        ({"SECRET_KEY": "x" * 64}, "SECRET_KEY is too easy to guess"),
        ({"SECRET_KEY": "abcabcabc" * 8}, "SECRET_KEY is too easy to guess"),
        ({"SECRET_KEY": "correct horse" * 4}, "SECRET_KEY is too easy to guess"),
        ({"SECRET_KEY": "${SECRET_KEY:?make one with token_hex(32)}"}, "SECRET_KEY is too easy to guess"),
        ({"SECRET_KEY": "{{ vault_microblog_production_signing }}"}, "SECRET_KEY is too easy to guess"),
        ({"SECRET_KEY": "please-Change_Me-before-this-is-deployed"}, "SECRET_KEY is too easy to guess"),
        ({"SECRET_KEY_FALLBACKS": f"{KEY}-old, dev"}, "SECRET_KEY_FALLBACKS is too easy to guess"),
        ({"BASE_URL": ""}, "BASE_URL is missing"),
        ({"BASE_URL": "   "}, "BASE_URL is missing"),
        ({"BASE_URL": "http://blog.example"}, "BASE_URL must begin with https://"),
        ({"BASE_URL": "http://127.0.0.1.evil.example"}, "BASE_URL must begin with https://"),
        ({"BASE_URL": "http://192.168.0.1"}, "BASE_URL must begin with https://"),
        ({"BASE_URL": "blog.example"}, "BASE_URL must look like"),
        ({"BASE_URL": "ftp://blog.example"}, "BASE_URL must look like"),
        ({"BASE_URL": "https://"}, "BASE_URL must look like"),
        ({"BASE_URL": "https://blog.example/under/a/path"}, "BASE_URL must look like"),
        ({"BASE_URL": "https://blog.example?x"}, "BASE_URL must look like"),
        ({"BASE_URL": "https://user@blog.example"}, "BASE_URL must look like"),
        ({"BASE_URL": "https://blog.example:port"}, "BASE_URL must look like"),
        ({"BASE_URL": "https://blog.example:0"}, "BASE_URL must look like"),
        ({"BASE_URL": "https://[::1"}, "BASE_URL must look like"),
        ({"BASE_URL": "https://blog.example\nX: y"}, "BASE_URL must look like"),
        ({"BASE_URL": "https://☃.example"}, "BASE_URL: no host can be called '☃.example'"),
        ({"BASE_URL": "https://blog example"}, "BASE_URL: no host can be called 'blog example'"),
        ({"BASE_URL": "https://büch\u00ad er.example"}, "BASE_URL: no host can be called"),
        ({"BASE_URL": f"https://{'ü' * 64}.example"}, "BASE_URL: no host can be called"),
        ({"BASE_URL": "http://bücher.example"}, "BASE_URL must begin with https://"),
        ({"MAIL_SENDER": "post@☃.example"}, "MAIL_SENDER must look like"),
        ({"MAIL_SENDER": "bücher@example.com"}, "MAIL_SENDER must look like"),
        ({"MAIL_SENDER": "Bücher <post@>"}, "MAIL_SENDER must look like"),
        ({"ADMINS": "susan@☃.example"}, "ADMINS must look like"),
        ({"MAIL_SERVER": "smtp.☃.example"}, "MAIL_SERVER: no host can be called"),
        ({"MAIL_PASSWORD_FILE": "/nowhere/at/all"}, "MAIL_PASSWORD_FILE can't be read: No such file or directory."),
        ({"MAIL_PASSWORD_FILE": "/"}, "MAIL_PASSWORD_FILE can't be read: Is a directory."),
        ({"MAIL_PASSWORD_FILE": "/dev/null"}, "MAIL_PASSWORD_FILE names an empty file."),
        ({"SECRET_KEY_FILE": "/dev/null"}, "SECRET_KEY and SECRET_KEY_FILE can't both be set."),
        ({"MAIL_SERVER": ""}, "MAIL_SERVER is missing"),
        ({"MAIL_USE_TLS": "0"}, "MAIL_SERVER would be used without encryption"),
        ({"MAIL_USE_TLS": ""}, "MAIL_SERVER would be used without encryption"),
        ({"MAIL_USE_SSL": "1"}, "MAIL_USE_TLS and MAIL_USE_SSL can't both be set"),
        ({"DATABASE_URL": "sqlite:////data/site.db", "DYNO": "web.1"}, "DATABASE_URL names SQLite"),
        ({"DATABASE_URL": "", "DYNO": "web.1"}, "DATABASE_URL names SQLite"),
        ({"DATABASE_URL": "", "K_SERVICE": "blog"}, "DATABASE_URL names SQLite"),
        ({"DATABASE_URL": "mysql://db.example/site"}, "DATABASE_URL must begin with"),
        ({"DATABASE_URL": "site.db"}, "DATABASE_URL must begin with"),
        ({"DATABASE_URL": "sqlite:///"}, "DATABASE_URL names no file"),
        ({"DATABASE_URL": "sqlite:///:memory:"}, "DATABASE_URL names no file"),
        ({"MAIL_USE_SSL": "perhaps"}, "MAIL_USE_SSL is neither yes nor no"),
        ({"MAIL_PORT": "smtp"}, "MAIL_PORT must be a whole number"),
        ({"MAIL_PORT": "65536"}, "MAIL_PORT must be a whole number"),
        ({"MAIL_PORT": "-25"}, "MAIL_PORT must be a whole number"),
        ({"MAIL_CONNECTIONS": "0"}, "MAIL_CONNECTIONS must be a whole number"),
        ({"MAIL_HOURLY_BUDGET": "many"}, "MAIL_HOURLY_BUDGET must be a whole number"),
        ({"RESET_TOKEN_MINUTES": "0"}, "RESET_TOKEN_MINUTES must be a whole number from 1 to 60"),
        ({"RESET_TOKEN_MINUTES": "61"}, "RESET_TOKEN_MINUTES must be a whole number from 1 to 60"),
        ({"RESET_TOKEN_MINUTES": "1e1"}, "RESET_TOKEN_MINUTES must be a whole number"),
        ({"RESET_TOKEN_MINUTES": "٣"}, "RESET_TOKEN_MINUTES must be a whole number"),
        ({"PASSWORD_MIN_LENGTH": "4"}, "PASSWORD_MIN_LENGTH must be a whole number"),
        ({"TRUSTED_PROXIES": "all"}, "TRUSTED_PROXIES must be a whole number"),
        ({"MAILER": "maybe"}, "MAILER must be one of"),
        ({"REGISTRATION": "shut"}, "REGISTRATION must be one of"),
        ({"REGISTRATION": "domains:"}, "REGISTRATION=domains: names no domain"),
        ({"REGISTRATION": "domains"}, "REGISTRATION=domains: names no domain"),
        ({"REGISTRATION": "domains:example.org,a b"}, "REGISTRATION: no domain is called 'a b'"),
        ({"REGISTRATION_BACKLOG": "0"}, "REGISTRATION_BACKLOG must be"),
        ({"MEMBER_INVITES": "101"}, "MEMBER_INVITES must be"),
        ({"REGISTRATION_LEAST_SECONDS": "31"}, "REGISTRATION_LEAST_SECONDS must be"),
        ({"METRICS_KEY": "x" * 40}, "METRICS_KEY is too easy to guess"),
        ({"METRICS_KEY": "ключ-" * 8}, "METRICS_KEY may have letters, digits and signs of ASCII only"),
        ({"BOUNCE_KEY": "ключ-" * 8}, "BOUNCE_KEY may have letters, digits and signs of ASCII only"),
        ({"BOUNCE_KEY": "short"}, "BOUNCE_KEY is too easy to guess"),
        ({"TRUSTED_PROXIES": "0" * 9 + "77"}, "TRUSTED_PROXIES must be a whole number"),
        ({"MAIL_HOURLY_BUDGET": "0" * 5000}, "MAIL_HOURLY_BUDGET must be a whole number"),
        ({"MAIL_PORT": "0"}, "MAIL_PORT must be a whole number from 1 to 65535"),
        ({"MAIL_SERVER": "10.0.0.5:587"}, "MAIL_SERVER: no host can be called '10.0.0.5:587'"),
        ({"MAIL_SERVER": "fe80::1%eth0"}, "MAIL_SERVER: no host can be called"),
        ({"MAIL_SENDER": "post@10.0.0.5:587"}, "MAIL_SENDER must look like"),
        ({"MAIL_USERNAME": "postman"}, "MAIL_USERNAME is set, but MAIL_PASSWORD is not"),
        ({"MAIL_PASSWORD": "a secret"}, "MAIL_PASSWORD is set, but MAIL_USERNAME is not"),
        ({"DATABASE_URL": "sqlite://data/site.db"}, "DATABASE_URL must begin with"),
        ({"DATABASE_URL": "sqlite://"}, "DATABASE_URL names no file"),
        (
            {"DATABASE_URL": "postgres://u:p@h/d?pgbouncer=true", "DATABASE_POOLER": "session"},
            "DATABASE_POOLER and the pgbouncer= of DATABASE_URL contradict each other",
        ),
        ({"PORT": "99999"}, "PORT must be a whole number from 1 to 65535."),
        ({"WEB_CONCURRENCY": "99999"}, "WEB_CONCURRENCY must be a whole number from 1 to 256."),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT must be one of"),
        ({"LANGUAGES": "en,tlh"}, "LANGUAGES: there is no translation for 'tlh'"),
        ({"MAIL_HELO": "not a name"}, "MAIL_HELO must be this machine's full name"),
        ({"MAIL_HELO": "blog"}, "MAIL_HELO must be this machine's full name"),
        ({"MAIL_CA_FILE": "/no/such/file.pem"}, "MAIL_CA_FILE names /no/such/file.pem"),
        ({"MAIL_CA_FILE": __file__}, "MAIL_CA_FILE names"),
        ({"MAIL_SENDER": "nobody"}, "MAIL_SENDER must look like"),
        ({"ADMINS": "susan@example.com, nobody"}, "ADMINS must look like"),
        ({"SECURITY_CONTACT": "susan@example.com"}, "SECURITY_CONTACT must look like"),
        ({"SECURITY_CONTACT": "http://example.com/security"}, "SECURITY_CONTACT must look like"),
        ({"SECURITY_CONTACT": "mailto:nobody"}, "SECURITY_CONTACT must look like"),
        ({"SECURITY_CONTACT": "https://example.com/\nContact: x"}, "SECURITY_CONTACT must look like"),
    ],
    ids=str,
)
def test_a_bad_environment_is_refused_with_one_sentence(changes: dict[str, str], words: str) -> None:
    """C58: and in Russian, for whoever has a Russian terminal."""
    (problem,) = refusals(**changes)

    with i18n.use("ru"):
        in_russian = problem.said(i18n.gettext)
    assert problem.startswith(words)
    assert "\n" not in problem
    assert re.search("[а-яё]{3}", in_russian)
    assert words.split()[0].rstrip(":") in in_russian


def test_every_problem_is_named_at_once() -> None:
    """C58"""
    problems = refusals(SECRET_KEY="", BASE_URL="", MAIL_SERVER="", MAIL_PORT="x")

    assert [problem.split()[0] for problem in problems] == ["MAIL_PORT", "BASE_URL", "SECRET_KEY", "MAIL_SERVER"]


def test_a_refusal_repeats_no_secret() -> None:
    """C58"""
    problems = refusals(SECRET_KEY="hunter2", SECRET_KEY_FALLBACKS="hunter3", DATABASE_URL="mysql://u:hunter4@db/x")

    assert not any("hunter" in problem for problem in problems)


def test_what_is_printed_of_settings_holds_no_secret() -> None:
    settings = read(SECRET_KEY_FALLBACKS=f"{KEY}-old", MAIL_PASSWORD="mail-secret", MAIL_USERNAME="postman")

    shown = repr(settings) + str(settings)

    assert [secret for secret in (KEY, "-old", "mail-secret", "db-secret") if secret in shown] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"MAILER": "off", "MAIL_SERVER": "", "MAIL_USE_TLS": ""},
        {"MAIL_SERVER": "localhost", "MAIL_USE_TLS": ""},
        {"MAIL_SERVER": "127.0.0.1", "MAIL_USE_TLS": "0"},
        {"BASE_URL": "http://127.0.0.1:8000"},
        {"BASE_URL": "http://localhost"},
        {"BASE_URL": "https://blog.example/"},
        {"DATABASE_URL": "sqlite:////data/site.db"},
        {"DATABASE_URL": ""},
    ],
    ids=str,
)
def test_what_is_safe_is_not_refused(changes: dict[str, str]) -> None:
    assert read(**changes).secret_key == KEY


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"MAIL_USE_TLS": "1"}, (587, True, False)),
        ({"MAIL_USE_TLS": "true", "MAIL_PORT": "2525"}, (2525, True, False)),
        ({"MAIL_USE_TLS": "", "MAIL_USE_SSL": "yes"}, (465, False, True)),
        ({"MAIL_USE_TLS": "", "MAIL_PORT": "465"}, (465, False, True)),
        ({"MAIL_USE_TLS": "1", "MAIL_PORT": "465"}, (465, False, True)),
        ({"MAIL_USE_TLS": "0", "MAIL_SERVER": "localhost"}, (25, False, False)),
        ({"MAIL_USE_TLS": "False", "MAIL_SERVER": "localhost"}, (25, False, False)),
        ({"MAIL_USE_TLS": "off", "MAIL_SERVER": "localhost", "MAIL_PORT": "1025"}, (1025, False, False)),
    ],
    ids=str,
)
def test_port_and_encryption_follow_from_each_other(changes: dict[str, str], expected: tuple[int, bool, bool]) -> None:
    settings = read(**changes)

    assert (settings.mail_port, settings.mail_use_tls, settings.mail_use_ssl) == expected


@pytest.mark.parametrize(
    "url", ["postgres://u:p@h/d?sslmode=require", "postgresql://u:p@h,i/d", "sqlite+aiosqlite:////srv/site.db"]
)
def test_a_database_is_named_however_platforms_write_it(url: str) -> None:
    assert read(DATABASE_URL=url).database_url == url  # see test_database_url


@pytest.mark.parametrize(
    ("pooler", "address"),
    [
        ("transaction", "postgres://u:p@h/d?pgbouncer=true"),
        ("session", "postgres://u:p@h/d?pgbouncer=false"),
        ("", "postgres://u:p@h/d"),
    ],
)
def test_a_pooler_may_be_named_beside_the_database(pooler: str, address: str) -> None:
    assert read(DATABASE_URL="postgres://u:p@h/d", DATABASE_POOLER=pooler).database_url == address


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgres://u:p@h/d?schema=x", "DATABASE_URL says 'schema'"),
        ("postgres://u:p@h/d?sslmode=verify-full&sslrootcert=/nowhere.pem", "DATABASE_URL names /nowhere.pem"),
    ],
)
def test_a_database_that_is_not_understood_stops_the_start(url: str, words: str) -> None:
    with pytest.raises(Misconfigured, match=words):
        read(DATABASE_URL=url)


def test_a_password_may_hold_anything_and_a_key_too() -> None:
    settings = read(MAIL_USERNAME="postman", MAIL_PASSWORD="  a, pass word ", SECRET_KEY=f" {KEY}, ")

    assert settings.mail_password == "  a, pass word "
    assert settings.secret_key == f" {KEY}, "


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://blog.example:443", "https://blog.example"),
        ("http://localhost:80/", "http://localhost"),
        ("https://blog.example:", "https://blog.example"),
        ("https://blog.example.", "https://blog.example"),
        ("https://BLOG.example:8443", "https://blog.example:8443"),
        ("https://[2001:db8::1]:443", "https://[2001:db8::1]"),
    ],
)
def test_the_sites_address_is_what_browsers_make_of_it(url: str, shown: str) -> None:
    """They leave the usual port out, so with it no Host header would ever be the site's."""
    assert read(BASE_URL=url).base_url == shown


def test_a_dot_that_ends_a_host_makes_no_other_name_of_it() -> None:
    settings = read(ADMINS="susan@blog.example.", MAIL_SERVER="smtp.example.", REGISTRATION="domains:blog.example.")

    assert settings.admin_addresses == {"susan@blog.example"}
    assert settings.mail_server == "smtp.example"
    assert settings.registration_domains == ("blog.example",)


def test_nobody_is_told_twice_because_a_list_names_them_twice() -> None:
    settings = read(ADMINS="b@x.example, a@x.example, B <B@x.example>, a@x.example", LANGUAGES="ru,en,ru")

    assert settings.admins == ("b@x.example", "a@x.example")
    assert settings.languages == ("ru", "en")


def test_only_languages_with_a_catalogue_are_spoken_in_production() -> None:
    """C58: the pseudo-language shows developers what isn't translated."""
    catalogues = {folder.name for folder in i18n.TRANSLATIONS.glob("*/")} | {"en"}

    for language in i18n.spoken():
        if language in catalogues:
            assert read(LANGUAGES=f"en,{language}").languages[-1] == language
        else:
            assert refusals(LANGUAGES=f"en,{language}") == [f"LANGUAGES: there is no translation for '{language}'."]


def test_a_secret_that_is_longer_than_any_is_not_cut(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(KEY * 3000)

    assert refusals(BOUNCE_KEY_FILE=str(tmp_path / "secret")) == [
        "BOUNCE_KEY_FILE names a file that is too long for a secret."
    ]


@pytest.mark.parametrize("name", ["site.db", "instance/site.db"])
def test_a_relative_file_is_the_same_wherever_a_command_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert read(DATABASE_URL=f"sqlite:///{name}").database_url == f"sqlite+aiosqlite:///{ROOT / name}"


def test_no_deployed_site_can_show_a_mailbox() -> None:
    settings = read(DEVELOPMENT="1", MAILBOX="/tmp", MAILER="off", MAIL_SERVER="")

    assert (settings.development, settings.mailbox) == (False, None)


def test_keys_differ_by_purpose_and_old_ones_still_verify() -> None:
    """C14, C22"""
    settings = read(SECRET_KEY_FALLBACKS=f"{KEY}-old,{KEY}-older")
    old = read(SECRET_KEY=f"{KEY}-old")

    assert settings.key("flash") != settings.key("token.register")
    assert settings.keys("flash")[0] == settings.key("flash")
    assert old.key("flash") in settings.keys("flash")
    assert len(set(settings.keys("flash"))) == 3


def test_a_development_site_is_for_this_machine_and_keeps_its_own_key(tmp_path: Path) -> None:
    first = Settings.for_development(8123, {}, tmp_path)
    second = Settings.for_development(8123, {}, tmp_path)
    elsewhere = Settings.for_development(8123, {}, tmp_path / "other")

    assert first.base_url == "http://localhost:8123"
    assert first.secret_key == second.secret_key != elsewhere.secret_key
    assert len(first.secret_key) >= 32
    assert (tmp_path / "secret_key").stat().st_mode & 0o077 == 0
    assert first.mailbox == tmp_path / "mailbox"


@pytest.mark.parametrize(("admins", "host"), [("", "wilma@example.com"), ("me@example.com", "me@example.com")])
def test_a_development_site_has_a_host_of_its_own_unless_admins_names_one(
    tmp_path: Path, admins: str, host: str
) -> None:
    settings = Settings.for_development(8123, {"ADMINS": admins}, tmp_path)

    assert settings.admins == (host,)


def test_a_development_site_with_a_mail_server_writes_to_people(tmp_path: Path) -> None:
    settings = Settings.for_development(8123, {"MAIL_SERVER": "localhost", "MAIL_PORT": "1025"}, tmp_path)

    assert settings.mailbox is None
    assert (settings.mail_server, settings.mail_port) == ("localhost", 1025)


SECRETS = {field.name.upper() for field in fields(Settings) if not field.repr}


def test_every_secret_can_be_in_a_file() -> None:
    assert set(environment.SECRETS) >= SECRETS


@pytest.mark.parametrize("name", environment.SECRETS)
def test_a_secret_is_read_from_its_file(name: str, tmp_path: Path) -> None:
    """In whatever way an editor ended it."""
    value = GOOD.get(name, f"{KEY}-of-the-file")
    without = {other: word for other, word in (GOOD | LOG_IN).items() if other != name}
    for end in ("", "\n", "\r\n"):
        (tmp_path / "secret").write_bytes(f"{value}{end}".encode())

        from_file = Settings.from_environment(without | {f"{name}_FILE": str(tmp_path / "secret")})

        assert from_file == Settings.from_environment(without | {name: value})


def test_a_file_that_is_no_text_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\xff\xfe")

    assert refusals(MAIL_PASSWORD_FILE=str(tmp_path / "secret")) == ["MAIL_PASSWORD_FILE can't be read: it is no text."]


@pytest.mark.parametrize(
    ("typed", "inside"),
    [
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://BÜCHER.example:8443/", "https://xn--bcher-kva.example:8443"),
        ("https://bu\u0308cher.example", "https://xn--bcher-kva.example"),
        ("https://блог.рф", "https://xn--90aexm.xn--p1ai"),
        ("https://ブログ。例え", "https://xn--qckyd1c.xn--r8jz45g"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
    ],
)
def test_a_host_in_any_script_is_kept_as_browsers_ask_for_it(typed: str, inside: str) -> None:
    assert read(BASE_URL=typed).base_url == inside


def test_addresses_of_mail_are_kept_as_mail_servers_read_them() -> None:
    settings = read(
        MAIL_SENDER="Bücher <post@bücher.example>", MAIL_SERVER="smtp.bücher.example", ADMINS="sam@bücher.de"
    )

    assert settings.sender == "Bücher <post@xn--bcher-kva.example>"
    assert settings.mail_server == "smtp.xn--bcher-kva.example"
    assert settings.admin_addresses == {"sam@xn--bcher-kva.de"}


@deep
def test_emails_of_a_site_with_another_script_are_sound(
    start_site: Callable[[Settings], Site], sqlite_url: str, tmp_path: Path
) -> None:
    asked = read(BASE_URL="https://bücher.example", MAIL_SENDER="Bücher <post@bücher.example>")
    inside = {"mailbox": tmp_path / "mailbox", "mail_connections": 1, "trusted_proxies": 1}
    site = start_site(replace(asked, database_url=sqlite_url, **inside))  # type: ignore[arg-type]
    assert site.mailbox

    register(site.browser(), site.mailbox)

    [file] = (tmp_path / "mailbox").glob("*.eml")
    email = message_from_bytes(file.read_bytes(), policy=policy.SMTP)
    [sender] = email["from"].addresses
    assert (sender.display_name, sender.addr_spec) == ("Bücher", "post@xn--bcher-kva.example")
    assert email["message-id"].endswith("@xn--bcher-kva.example>")
    assert "https://xn--bcher-kva.example/register/" in file.read_text("ascii")


# The document, and what careless hands may type for each of its settings

ROWS = re.findall(r"^\| (`[^|]+`) \|", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE)
WRITTEN = [name for row in ROWS for name in re.findall(r"[A-Z_]+", row)]
TAKES_ANYTHING = {"SITE_NAME", "SITE_DESCRIPTION", "MAIL_USERNAME", "MAIL_PASSWORD"}
TYPED = ["", " \t", "ünïcödé ☃", "x" * 100_000, "9" * 400, "-1", "NaN", "1e3", "٣", "½", " 5 ", '"5"', "5\n6", "5\r6"]
TYPED += ["\udcff", f"{KEY}\udcff", "a\x1b[31mb", "\u202eabc", "None", "[]", "{0}", "%s%(name)s", "/", ",,", ":", "@"]
TYPED += ["<>", "a b@c.example", "Name <a@b.example", "A\rB <a@b.example>", "https://user:pw@a.example", "\udcff@b.ee"]
TYPED += [f"https://{label}.example" for label in ("", "a.", "[::1", "a" * 64, ".".join(["abcdefgh"] * 40))]
TYPED += ["0" * 5000, "0" * 9 + "7", "10.0.0.5:25", "a.example.", "https://a.example:", "sqlite://a/b", "sqlite:///a"]
TYPED += [
    "https://[2001:db8::1]",
    "https://a.example:99999",
    "https://a.example:٣",
    "postgresql://[",
    "postgresql://u:\udcff@h/d",
    "sqlite://",
]


def tried(**changes: str) -> tuple[Settings | None, list[Problem]]:
    try:
        return read(**changes), []
    except Misconfigured as refused:
        return None, refused.problems


def is_a_clear_sentence(problem: Problem, name: str) -> bool:
    is_short = problem.isprintable() and len(problem) < 250
    names = {name, *(LOG_IN if name in LOG_IN else ())}
    return is_short and problem.endswith((".", "'")) and problem.startswith((*names, "MAIL_SERVER would be"))


@pytest.mark.parametrize("name", [name for name in WRITTEN if name not in TAKES_ANYTHING])
def test_nonsense_is_refused_although_no_other_setting_needs_it(name: str) -> None:
    """C58"""
    least = {"BASE_URL": "https://blog.example", "SECRET_KEY": KEY, "MAIL_SERVER": "localhost"}

    with pytest.raises(Misconfigured) as refused:
        Settings.from_environment(least | {name: "no sense ☃"})

    assert refused.value.problems[0].startswith(name)


@pytest.mark.parametrize("name", WRITTEN)
def test_whatever_is_typed_is_used_or_refused_in_clear_sentences(name: str) -> None:
    """C58: and what is used can begin an email and greet a mail server."""
    for value in TYPED:
        settings, problems = tried(**(LOG_IN if name in LOG_IN else {}) | {name: value})
        assert [problem for problem in problems if not is_a_clear_sentence(problem, name)] == [], value
        assert len(problems) == len(set(problems))
        if settings:
            written = EmailMessage(policy.SMTP)
            written["from"] = settings.sender
            written["to"] = settings.admins
            assert [address.addr_spec for address in written["from"].addresses] == [settings.sender_address], value
            assert re.fullmatch(r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*|[0-9a-f:]+", settings.host), value
            assert re.fullmatch(r"[A-Za-z0-9.-]+|\[[0-9A-Za-z.:]+\]", settings.helo), value
            assert len({*settings.keys("flash")}) == 1 + len(settings.secret_key_fallbacks)
            assert repr(settings).isprintable(), value


class Asked(dict[str, str]):
    """An environment that notes which variables are asked for."""

    def __init__(self, **variables: str) -> None:
        super().__init__(variables)
        self.names: set[str] = set()

    def get(self, name: str, default: object = None) -> object:  # type: ignore[override]
        self.names.add(name)
        return super().get(name, default)


def test_the_document_has_every_variable_and_no_other(tmp_path: Path) -> None:
    asked = Asked(DATABASE_URL=GOOD["DATABASE_URL"])
    with pytest.raises(Misconfigured):
        Settings.from_environment(asked)
    Settings.for_development(8000, asked, tmp_path)

    files = {f"{name}_FILE" for name in environment.SECRETS}  # told in a sentence
    assert files < asked.names
    assert set(WRITTEN) == asked.names - files - set(EPHEMERAL_PLATFORMS)


TABLE = re.findall(r"^\| `([A-Z_]+)` \| ([^|]*) \| (.*) \|$", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE)
LEAST = {"BASE_URL": "https://blog.example", "SECRET_KEY": KEY, "MAIL_SERVER": "localhost"}
RANDOM = "".join(hashlib.sha512(word).hexdigest() for word in (b"one", b"two"))  # as a key is, and as long as any


def test_to_write_down_the_default_that_the_document_names_changes_nothing() -> None:
    defaults = {name: default.strip("`") for name, default, _meaning in TABLE if re.fullmatch("`[^`]+`", default)}

    assert len(defaults) > 20
    for name, default in defaults.items():
        assert Settings.from_environment(LEAST | {name: default}) == Settings.from_environment(LEAST), name


def test_each_setting_takes_the_least_and_the_most_that_the_document_names_and_nothing_beyond() -> None:
    """C58"""
    numbers = {name: re.search(r"[Ff]rom (\d+) to (\d+)", meaning) for name, _default, meaning in TABLE}
    counted = {field.name.upper() for field in fields(Settings) if field.type in {int, "int"}}

    assert {name for name, found in numbers.items() if found} == counted
    for name, found in numbers.items():
        if found:
            low, high = map(int, found.groups())
            for inside in (low, high):
                assert getattr(tried(**{name: str(inside)})[0], name.lower()) == inside, (name, inside)
            for beyond in (low - 1, high + 1):
                assert tried(**{name: str(beyond)})[1], (name, beyond)


def test_each_text_may_be_as_long_as_the_document_says() -> None:
    for name, _default, meaning in TABLE:
        if found := re.search(r"up to (\d+) characters|(\d+) random (?:ASCII )?characters or more", meaning):
            most, least = (int(number or 0) for number in found.groups())
            inside, beyond = (most, most + 1) if most else (least, least - 1)
            assert tried(**{name: RANDOM[:inside]})[1] == [], name
            assert tried(**{name: RANDOM[:beyond]})[1], name
