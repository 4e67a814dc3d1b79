"""`python -m webapp import-tutorial`: who comes from the tutorial's own application finds what they had."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.beside import writing_visitor
from tests.cli.conftest import Run
from tests.cli.tutorial import TutorialDatabase
from tests.depth import deep
from tests.inspection import query
from tests.processes import Host
from tests.sites import Site
from tests.stories import is_logged_in, log_in
from webapp.settings import Settings

StartSite = Callable[[Settings], Site]


@pytest.fixture
def app_db(tmp_path: Path) -> TutorialDatabase:
    """Three who know each other."""
    made = TutorialDatabase(tmp_path / "app.db", susan="Susan@Example.com", John="john@example.com")
    made.add_person("mary", "mary@example.com", password_hash=None, about="Likes\r\nlong  walks")
    made.add_post("susan", "Beautiful day in Portland!", "2023-01-02 03:04:05.678901")
    made.add_post("John", "The Avengers movie was so cool, @susan and @nobody_here!", "2023-01-01 00:00:00.000000")
    for name, other in (("susan", "John"), ("John", "susan"), ("mary", "susan")):
        made.follow(name, other)
    return made


def test_people_come_with_their_passwords_posts_and_follows(
    run: Run, app_db: TutorialDatabase, start_site: StartSite
) -> None:
    site = start_site(Settings.from_environment())
    browser = site.browser()

    ended = run("import-tutorial", str(app_db.file))
    log_in(browser)
    page = browser.get("/").text

    assert (ended.code, ended.out) == (0, "Imported 3 people, 2 posts and 3 follows.\n")
    assert is_logged_in(browser)
    assert page.index("Beautiful day in Portland!") < page.index("The Avengers movie"), "in the order of time"
    assert '<a class="mention" href="/user/susan"' in page
    assert "Likes<br>long walks" in browser.get("/user/mary").text
    profile = site.browser(follow_redirects=False).get("/user/susan")
    assert "Portland" not in profile.text, "strangers read nothing, as there"


@deep
def test_dates_are_kept_and_the_password_is_hashed_anew(
    run: Run, app_db: TutorialDatabase, start_site: StartSite
) -> None:
    site = start_site(Settings.from_environment())
    url = site.settings.database_url
    run("import-tutorial", str(app_db.file))
    log_in(site.browser())

    people = query(url, "SELECT created_at, email FROM user_account ORDER BY id")
    written = query(url, "SELECT created_at FROM post ORDER BY id")
    [(password_hash,)] = query(url, "SELECT password_hash FROM user_account WHERE username = 'susan'")

    assert [(str(when)[:10], email) for when, email in people] == [
        ("2023-01-02", "susan@example.com"),
        ("2023-01-01", "john@example.com"),
        ("2024-03-05", "mary@example.com"),
    ]
    assert [str(when)[:19] for (when,) in written] == ["2023-01-01 00:00:00", "2023-01-02 03:04:05"]
    assert password_hash.startswith("$argon2id$")


def test_what_is_here_already_stays_as_it_is(run: Run, app_db: TutorialDatabase, sqlite_url: str) -> None:
    run("import-tutorial", str(app_db.file))
    app_db.add_person("peter", "peter@example.com")
    app_db.add_post("susan", "One more")
    app_db.follow("peter", "susan")

    again = run("import-tutorial", str(app_db.file))
    once_more = run("import-tutorial", str(app_db.file))

    assert again.out.splitlines() == [
        "Imported 1 person, 1 post and 1 follow.",
        "Here already: 3 people, 2 posts and 3 follows.",
    ]
    assert once_more.out.splitlines()[0] == "Imported 0 people, 0 posts and 0 follows."
    assert query(sqlite_url, "SELECT count(*) FROM post") == [(3,)]


def test_what_is_left_out_is_told_with_the_reason(run: Run, app_db: TutorialDatabase, sqlite_url: str) -> None:
    """Nobody is half taken over: their posts and follows stay behind with them."""
    app_db.add_person("mary jane", "jane@example.com")
    app_db.add_person("JOHN", "other@example.com")
    app_db.add_person("peter", "not an address")
    app_db.add_person("anna", "anna@example.com", password_hash="md5$salt$0c0beacef8877bbf2416eb00f2b5dc96")
    app_db.add_post("mary jane", "Hello")
    app_db.add_post("susan", "a\u202eb")
    app_db.follow("susan", "mary jane")
    app_db.run("INSERT INTO post (body, timestamp, user_id) VALUES ('of nobody', '2024-01-01 00:00:00', 999)")
    app_db.run("INSERT INTO message (sender_id, recipient_id, body, timestamp) VALUES (1, 2, 'psst', '2024-01-01')")

    ended = run("import-tutorial", str(app_db.file))

    assert ended.code == 0
    assert ended.out.splitlines() == [
        "Imported 4 people, 2 posts and 3 follows.",
        "Without a password, because theirs can't be checked here: anna.",
        "Left out: 'mary jane' can't be a username: 3 to 30 of a to z, 0 to 9 and _. With them 1 post.",
        "Left out: the username 'JOHN' is taken, or reserved for its previous owner.",
        "Left out: 'not an address' doesn't look like an email address.",
        "Left out: 1 post. It contains an invisible character that can't be used. Type that part again.",
        "Left out: 1 post of people who are not in app.db.",
        "Left out: 1 follow of people who are not here.",
        "Left out: 1 message. There is nothing of the kind here.",
        "Fix their names or addresses in a copy of app.db and run this again: it adds what is missing.",
    ]
    assert query(sqlite_url, "SELECT count(*) FROM user_account") == [(4,)]


def test_a_name_of_somebody_else_is_not_taken_over(run: Run, app_db: TutorialDatabase, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("username,email\nsusan,another@example.com\npeter,john@example.com\n")
    run("import-users", str(tmp_path / "people.csv"))

    ended = run("import-tutorial", str(app_db.file))

    assert ended.out.splitlines()[:3] == [
        "Imported 1 person, 0 posts and 0 follows.",
        "Left out: the username 'susan' is taken, or reserved for its previous owner. With them 1 post.",
        "Left out: john@example.com already has an account, or is reserved for one that may go back to it."
        " With them 1 post.",
    ]


def test_the_database_of_an_early_chapter_is_enough(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "app.db"
    with closing(sqlite3.connect(file)) as db:
        db.execute("CREATE TABLE user (id INTEGER PRIMARY KEY, username TEXT, email TEXT, password_hash TEXT)")
        db.execute("INSERT INTO user VALUES (1, 'susan', 'susan@example.com', NULL)")
        db.commit()

    assert run("import-tutorial", str(file)).out == "Imported 1 person, 0 posts and 0 follows.\n"


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (None, "isn't a file."),
        ("", "it has no user with id and username and email and password_hash"),
        ("CREATE TABLE user (id INTEGER, name TEXT)", "it has no user with username and email and password_hash"),
        ("not SQLite at all, but a text that is long enough to be taken for one", "file is not a database"),
    ],
)
def test_another_file_is_refused_in_a_line(run: Run, tmp_path: Path, made: str | None, words: str) -> None:
    file = tmp_path / "app.db"
    if made is not None and made.startswith("not"):
        file.write_text(made)
    elif made is not None:
        with closing(sqlite3.connect(file)) as db:
            db.executescript(f"CREATE TABLE other (id INTEGER); {made}")

    ended = run("import-tutorial", str(file))

    assert (ended.code, ended.out) == (1, "")
    assert words in ended.err
    assert len(ended.err.splitlines()) == 1


@deep
def test_thousands_of_posts_are_taken_over_beside_a_site_that_answers(
    sqlite_url: str, tmp_path: Path, app_db: TutorialDatabase
) -> None:
    """C73"""
    with closing(sqlite3.connect(app_db.file)) as db:
        rows = [(f"Post {number}", f"2023-05-05 10:{number % 60:02}:00", number % 3 + 1) for number in range(6000)]
        db.executemany("INSERT INTO post (body, timestamp, user_id) VALUES (?, ?, ?)", rows)
        db.commit()

    with Host(tmp_path, sqlite_url, {"MAILER": "off"}) as host, writing_visitor(sqlite_url) as longest_wait:
        process = host.start("webapp", "import-tutorial", str(app_db.file))
        code = process.wait(120)
        waited = longest_wait()

    assert code == 0, process.output
    assert process.output.endswith("Imported 3 people, 6,002 posts and 3 follows.\n")
    assert waited < 1 / 4
