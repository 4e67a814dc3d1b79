"""`python -m webapp import-users`: people who come from another site, and what is said of a file that isn't right."""

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from argon2 import PasswordHasher

from tests.cli.beside import writing_visitor
from tests.cli.conftest import Run
from tests.depth import deep
from tests.imported import add_accounts
from tests.inspection import query
from tests.processes import Host
from tests.sites import Site
from tests.stories import PASSWORD, is_logged_in, log_in
from webapp.accounts import users
from webapp.accounts.models import User
from webapp.database import Database, table
from webapp.imports.bulk import AT_ONCE
from webapp.settings import Settings

HASH = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD, salt=b"sixteen bytes...")
LIKE_IT = f'username,email,password_hash\nFirst,first@example.com,"{HASH}"\nsecond,second@example.com,"{HASH}"\n'


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes | str], str]:
    """Writes a file of people; returns its path."""

    def write(content: bytes | str) -> str:
        file = tmp_path / "people.csv"
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(file)

    return write


Write = Callable[[bytes | str], str]


def usernames(run: Run) -> list[str]:
    return [line.partition("\t")[0] for line in run("users", "list").out.splitlines()]


@deep
def test_imported_people_log_in_with_the_password_they_had(
    run: Run, write: Write, start_site: Callable[[Settings], Site]
) -> None:
    site = start_site(Settings.from_environment())
    file = write(f'username,email,password_hash\nSusan,Susan@Example.com,"{HASH}"\n\njohn,john@b\u00fccher.example,\n')
    browser = site.browser()

    ended = run("import-users", file)
    log_in(browser)

    assert ended.code == 0
    assert ended.out == ("Imported 2 accounts. 1 without a password: they choose one with 'Forgot your password?'.\n")
    assert is_logged_in(browser)
    emails = [email for (email,) in query(site.settings.database_url, "SELECT email FROM user_account ORDER BY id")]
    assert emails == ["susan@example.com", "john@xn--bcher-kva.example"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@deep
def test_a_file_is_read_as_spreadsheets_write_it(
    run: Run, write: Write, separator: str, encoding: str, end: str
) -> None:
    lines = [
        ["Username", " Email", "password_hash", "city"],
        ["susan", "susan@example.com", f'"{HASH}"', '"Aix\u2028en Provence"'],
        ["", "", "", ""],
        ["john", "john@example.com", "", "K\u00f6ln"],
    ]

    ended = run("import-users", write(end.join(map(separator.join, lines)).encode(encoding)))

    assert (ended.code, ended.err) == (0, "Not imported: city.\n")
    assert usernames(run) == ["susan", "john"]


def test_no_column_of_a_file_controls_the_terminal(run: Run, write: Write) -> None:
    ended = run("import-users", write("username,email,\x1b[2J\u202ecity\nsusan,susan@example.com,Rome\n"))

    assert (ended.code, ended.err) == (0, "Not imported: ?[2j?city.\n")


def test_an_import_with_bad_lines_names_each_and_adds_nobody(run: Run, write: Write) -> None:
    run("import-users", write("username,email\nsusan,susan@example.com\nJohn_1,john@example.com\n"))
    file = write(
        "username,email,password_hash\n"
        "good,good@example.com,\n"
        "no,no@example.com,\n"
        "\n"
        "mary,not an address,\n"
        "SUSAN,new@example.com,\n"
        "peter,john@example.com,\n"
        "good,again@example.com,\n"
        "anna,anna@example.com,plain password\n"
        "eve,eve@example.com,,too,many\n"
        "short\n"
    )

    ended = run("import-users", file)

    assert ended.code == 1
    *problems, last = ended.err.splitlines()
    assert [line.partition(":")[0] for line in problems] == [f"line {number}" for number in (3, 5, 6, 7, 8, 9, 10, 11)]
    assert last == "Nothing was imported."
    assert usernames(run) == ["susan", "John_1"]


def test_many_bad_lines_are_told_in_few_words(run: Run, write: Write) -> None:
    ended = run("import-users", write("username,email\n" + "no,no@example.com\n" * 1234))

    assert len(ended.err.splitlines()) == 52
    assert "... and 1,184 more like these." in ended.err


def test_an_import_that_was_interrupted_goes_on_when_it_is_run_again(run: Run, write: Write) -> None:
    whole = "username,email\nsusan,susan@example.com\njohn,john@example.com\n"
    run("import-users", write(whole.replace("john,john@example.com\n", "")))

    again = run("import-users", write(whole))

    assert again.out.startswith("Imported 1 account. 1 was here already.")
    assert usernames(run) == ["susan", "john"]


@deep
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "The file is empty. Its first line must name the columns"),
        (b"\n\n", "The file is empty."),
        (b"username,email\n", "The file has no line after the one that names the columns."),
        (b"name,mail\nsusan,susan@example.com\n", "It says 'name, mail', with no username and no email."),
        (b"username;e-mail\nsusan;susan@example.com\n", "It says 'username, e-mail', with no email."),
        (b"susan,susan@example.com\n", "with no username and no email."),
        (b"username,email,Email\nsusan,a@example.com,b@example.com\n", "names the column email twice"),
        (b'username,email\nbob,bob@example.com\n"susan,a@example.com\n', "a quotation mark is opened and not closed"),
        (b'username,email\n"susan"x,susan@example.com\n', "Line 2: "),
        (b'username,email\n"' + b"x" * 200_000 + b'",a@example.com\n', "a quotation mark is opened and not closed"),
        (b"username,email\njohn,john@example.com\nj\xf6rg,a@example.com\n", "Line 3 is not UTF-8 text. Save the file"),
        (b"\xff\xfe\x00\xd8", "Line 1 is not UTF-16 text."),
        (b"\x00\x01PNG", "with no username and no email."),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_true_reason(
    run: Run, write: Write, content: bytes, words: str
) -> None:
    ended = run("import-users", write(content))

    assert (ended.code, ended.out) == (1, "")
    assert words in ended.err


def test_a_file_that_is_not_there_is_refused(run: Run, tmp_path: Path) -> None:
    missing, folder = run("import-users", str(tmp_path / "nothing.csv")), run("import-users", str(tmp_path))

    assert (missing.code, folder.code) == (1, 1)
    assert "can't be read: No such file" in missing.err
    assert "can't be read: Is a directory" in folder.err


@pytest.mark.parametrize(
    ("part", "instead"),
    [
        ("m=8192", "m=4194304"),
        ("t=1", "t=4000"),
        ("p=1", "p=200"),
        ("m=8192", "m=1"),
        ("t=1", "t=0"),
        ("argon2id", "argon2xx"),
        (HASH[-8:], "<script>"),
        (HASH[-8:], "A" * 200),
        (HASH, "plain"),
    ],
    ids=str,
)
def test_a_hash_that_cannot_or_should_not_be_checked_is_refused(
    run: Run, write: Write, part: str, instead: str
) -> None:
    """C49: one hash of 4 GiB would end the process at the next log-in."""
    password_hash = HASH.replace(part, instead)

    ended = run("import-users", write(f'username,email,password_hash\nsusan,susan@example.com,"{password_hash}"\n'))

    assert ended.code == 1
    assert re.search(
        "line 2: (this password_hash can.t be checked here|the password_hash is too costly to check)", ended.err
    )


def test_an_imported_account_is_like_one_that_registered(
    database_url: str, make_settings: Callable[..., Settings]
) -> None:
    """Its line is unpacked by the database itself, and each database has its own way."""
    names = ", ".join(column.name for column in table(User).columns)

    async def fill() -> None:
        database = Database(database_url)
        async with database.session(is_writing=True) as db:
            db.add(users.new("registered", "registered@example.com", HASH))
            problems = await add_accounts(db, make_settings(), LIKE_IT)
            await db.commit()
        await database.aclose()
        assert problems == []

    with start_blocking_portal() as portal:
        portal.call(fill)
    rows = query(database_url, f"SELECT {names} FROM user_account ORDER BY id")

    registered, *imported = [dict(zip(names.split(", "), row, strict=True)) for row in rows]
    assert [account["username"] for account in imported] == ["First", "second"]
    own = {"id", "username", "username_key", "email", "created_at", "last_seen_at"}
    for account in imported:
        assert {name: account[name] for name in account.keys() - own} == {
            name: registered[name] for name in registered.keys() - own
        }
        assert str(account["created_at"])[:10] == str(registered["created_at"])[:10]


def test_a_name_that_is_taken_while_an_import_runs_is_told_and_taken_once(
    run: Run, write: Write, sqlite_url: str
) -> None:
    """The second batch meets somebody who registered after the check."""
    rival = sqlite3.connect(sqlite_url.partition(":///")[2])
    named = {"id", "username", "username_key", "email"}
    others = ", ".join(column.name for column in table(User).columns if column.name not in named)
    rival.execute(
        "CREATE TRIGGER rival AFTER INSERT ON user_account WHEN new.username = 'susan' BEGIN"
        f" INSERT INTO user_account (id, username, username_key, email, {others})"
        f" SELECT 99, 'John', 'john', 'rival@example.com', {others}"
        " FROM user_account WHERE username = 'susan'; END"
    )
    rival.commit()
    rival.close()
    first = ["susan", *(f"person_{number}" for number in range(1, AT_ONCE))]
    file = write("\n".join(["username,email", *(f"{name},{name}@example.com" for name in (*first, "john"))]))

    ended, again = run("import-users", file), run("import-users", file)

    assert ended.code == 1
    assert "has just taken one of the usernames or addresses that are still to come" in ended.err
    assert f"line {AT_ONCE + 2}: the username 'john' is taken" in again.err
    assert sorted(usernames(run)) == sorted([*first, "John"])


@pytest.mark.parametrize("count", [pytest.param(6_000, marks=deep), pytest.param(50_000, marks=pytest.mark.soak)])
def test_thousands_of_lines_are_imported_beside_a_site_that_answers(
    sqlite_url: str, tmp_path: Path, write: Write, count: int
) -> None:
    """C73: whoever writes to the site meanwhile waits for a few hundred lines, not for all."""
    lines = "".join(f'user_{number},user{number}@example.com,"{HASH}"\n' for number in range(count))
    file = write(f"username,email,password_hash\n{lines}")

    with Host(tmp_path, sqlite_url, {"MAILER": "off"}) as host, writing_visitor(sqlite_url) as longest_wait:
        process = host.start("webapp", "import-users", file)
        code = process.wait(300)
        waited = longest_wait()

    assert code == 0, process.output
    assert re.search(rf"^5,\d\d\d of {count:,} \.\.\.$", process.output, re.MULTILINE)
    assert process.output.endswith(f"Imported {count:,} accounts.\n")
    assert waited < 1 / 4
