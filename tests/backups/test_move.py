"""A site's data moves from one kind of database to the other, whole, and a move that was cut short goes on."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Table, select
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel

from tests.depth import deep, one_in
from tests.inspection import query
from tests.posts.wall import let_post
from tests.processes import KEPT, PYTHON, SECRET_KEY, Process
from tests.sites import Site
from tests.stories import is_logged_in, log_in, register
from webapp.backups import Refused, move
from webapp.cli import main
from webapp.database import Database, migrations
from webapp.settings import Settings

MANY = 6_000  # more than can be copied before a process is killed
ODD = ["b", "B", "_", "ä", "Ж", "ё", "🌱", "a'b", 'a"b', "a\\b", "a\nb", "%s", " a ", "{}"]
FIRST = 1001
TABLES = SQLModel.metadata.sorted_tables
ENVIRONMENT = {"BASE_URL": "https://blog.example", "SECRET_KEY": SECRET_KEY, "MAILER": "off"}
Pair = tuple[str, str]


@pytest.fixture(params=[pytest.param("to postgresql", marks=pytest.mark.postgresql), "to sqlite"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    """A site's database of one kind, and an empty one of the other."""
    if request.param == "to postgresql":
        return request.getfixturevalue("sqlite_url"), request.getfixturevalue("empty_postgres_url")
    return request.getfixturevalue("postgres_url"), f"sqlite+aiosqlite:///{tmp_path / 'new.db'}"


def value(column: Column[Any], number: int) -> Any:
    """Something that the column can hold, another for each number."""
    kind = getattr(column.type, "impl_instance", column.type).python_type
    if column.foreign_keys:
        return FIRST + (30 if number == FIRST + 30 else (number - FIRST) % 30)
    if column.primary_key and kind is int:
        return number
    if column.nullable and number % 2:
        return None
    made = {
        str: f"{ODD[number % len(ODD)]} {number}",
        datetime: datetime(2026, 11, 26, 23, 59, 59, number, UTC) - timedelta(days=number % 9000),
        object: {"ключ": [number, None, True, 0.1, "ü"], "b": {}},
        bytes: f"\0{number}ж".encode(),
        bool: number % 3 == 0,
        float: number + 0.1,
        int: 2**31 - 1 - number,
    }
    return made[kind]  # JSON is of any type


def rows(table: Table, count: int, first: int = 0) -> list[dict[str, Any]]:
    """In which nobody follows themselves, and the first ones and later ones report other posts."""
    found = [
        {column.name: value(column, FIRST + first + number) for column in table.columns} for number in range(count)
    ]
    for row in found:
        if first:  # nobody has anything that belongs to the last one yet
            row |= {key.parent.name: FIRST + 30 for key in table.foreign_keys}
        if table.name == "follow":
            row["followed_id"] = FIRST + (row["follower_id"] - FIRST + 1) % 30
        if table.name == "report":
            row["reporter_id"] = FIRST + (row["post_id"] - FIRST + min(first, 1)) % 30
    return found


def fill(url: str, posts: int = 1100) -> None:
    """Rows in every table, also in those of tomorrow; the posts are more than one batch.

    Of what others belong to there is one more.
    """
    parents = {key.column.table.name for table in TABLES for key in table.foreign_keys}
    counts = {table.name: 31 if table.name in parents else 30 for table in TABLES} | {"post": posts}
    run(url, [(table.insert(), rows(table, counts[table.name])) for table in TABLES])


def run(url: str, statements: list[Any]) -> None:
    async def work() -> None:
        database = Database(url, is_patient=True)
        async with database.writing.begin() as connection:
            for statement, values in statements:
                await connection.execute(statement, values)
        await database.aclose()

    asyncio.run(work())


def everything(url: str) -> dict[str, list[str]]:
    """Every row of every table."""
    found: dict[str, list[str]] = {}

    async def work() -> None:
        database = Database(url)
        async with database.engine.connect() as connection:
            for table in TABLES:
                all_rows = (await connection.execute(select(table))).all()
                found[table.name] = sorted(json.dumps(list(row), default=repr, sort_keys=True) for row in all_rows)
        await database.aclose()

    asyncio.run(work())
    return found


def moved(pair: Pair) -> str:
    said: list[str] = []
    move.run(*pair, say=said.append)
    return "\n".join(said)


@deep
@one_in(2)
def test_every_row_of_every_table_moves(pair: Pair) -> None:
    fill(pair[0])
    before = everything(pair[0])
    assert all(len(found) >= 30 for found in before.values())

    said = moved(pair)

    assert "1,100 post" in said
    assert everything(pair[1]) == before == everything(pair[0])
    assert query(pair[1], "SELECT version_num FROM alembic_version") == [(migrations.newest(),)]


@pytest.mark.races
@deep
def test_the_site_goes_on_in_the_new_database(
    pair: Pair, make_settings: Callable[..., Settings], start_site: Callable[[Settings], Site]
) -> None:
    with Site(make_settings(database_url=pair[0])) as site:
        assert site.mailbox
        register(site.browser(), site.mailbox)
        let_post(site, ("susan", "ünïcødé 🌱\n'quotes' \\ and %s"), count=3)
    query(pair[0], "DELETE FROM post WHERE id = 3")

    moved(pair)

    site = start_site(make_settings(database_url=pair[1]))
    browser = site.browser()
    log_in(browser)
    assert is_logged_in(browser)
    assert let_post(site, ("susan", "the first one here")) == [4], "the number of a deleted post is not given again"
    assert "ünïcødé" in browser.get("/search?q=quotes").text
    assert site.mailbox
    register(site.browser(), site.mailbox, "peter")


@pytest.mark.races
@deep
def test_the_next_row_of_every_table_has_a_number_of_its_own(pair: Pair) -> None:
    fill(pair[0])
    moved(pair)

    for table in TABLES:
        column = table.autoincrement_column
        if column is not None:
            before = query(pair[1], f"SELECT max({column.name}) FROM {table.name}")[0][0]
            [row] = rows(table, 1, first=1199)
            run(pair[1], [(table.insert(), [{name: found for name, found in row.items() if name != column.name}])])
            assert query(pair[1], f"SELECT max({column.name}) FROM {table.name}") == [(before + 1,)]


@pytest.fixture
def cut_short(pair: Pair, tmp_path: Path) -> Pair:
    """A move whose process was killed while it copied posts."""
    fill(pair[0], MANY)
    environment = {**KEPT, **ENVIRONMENT, "DATABASE_URL": pair[0]}
    process = Process([PYTHON, "-m", "webapp", "move", "--to", pair[1]], environment, tmp_path / "move.log")
    try:
        while "known_browser" not in process.output or not copied(pair):
            assert process.is_alive, process.output
            time.sleep(0.01)
    finally:
        process.kill()
    assert 0 < copied(pair) < MANY, process.output
    return pair


def copied(pair: Pair) -> int:
    return int(query(pair[1], "SELECT count(*) FROM post")[0][0])


@pytest.mark.races
@deep
def test_a_move_that_was_cut_short_goes_on(cut_short: Pair) -> None:
    before = copied(cut_short)

    said = moved(cut_short)

    assert "a move that was cut short" in said
    assert f"{MANY - before:,} post" in said
    assert everything(cut_short[0]) == everything(cut_short[1])


@pytest.mark.alike
@deep
def test_nothing_else_begins_with_a_half_filled_database(
    cut_short: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a site, nor a move from elsewhere. One that finds other rows than it copied begins anew."""
    for name, words in {**ENVIRONMENT, "DATABASE_URL": cut_short[1]}.items():
        monkeypatch.setenv(name, words)
    another = f"sqlite+aiosqlite:///{tmp_path / 'another.db'}"
    migrations.upgrade(another)

    assert main.main(["migrate"]) == 1
    assert capsys.readouterr().err.startswith("The database is half filled by a `move` that was cut short.")
    with pytest.raises(Refused, match="not empty"):
        moved((another, cut_short[1]))
    query(cut_short[0], "DELETE FROM mention WHERE post_id = 1003")
    query(cut_short[0], "UPDATE user_account SET about_me = 'another' WHERE id = 1002")
    assert "starts over" in moved(cut_short)
    assert everything(cut_short[0]) == everything(cut_short[1])


@pytest.mark.parametrize("own", ["sqlite_url", "postgres_url"])
@deep
def test_a_database_that_is_in_use_is_not_moved(
    request: pytest.FixtureRequest,
    make_settings: Callable[..., Settings],
    tmp_path: Path,
    own: str,
) -> None:
    """Even by a site that does nothing any more."""
    url, to = request.getfixturevalue(own), f"sqlite+aiosqlite:///{tmp_path / 'new.db'}"

    with Site(make_settings(database_url=url)) as site:
        assert site.browser().get("/explore").status_code == 200
        with pytest.raises(Refused, match="is in use: stop the site"):
            moved((url, to))
        migrations.upgrade(to)
        with pytest.raises(Refused, match="The database of --to is in use"):
            moved((to, url))


@pytest.mark.alike
@deep
def test_a_database_with_somebody_in_it_is_not_moved_into(pair: Pair, tmp_path: Path) -> None:
    fill(pair[0])
    moved(pair)

    with pytest.raises(Refused, match="not empty: it has rows in"):
        moved(pair)
    assert query(pair[1], "SELECT count(*) FROM user_account") == [(31,)]


@pytest.mark.alike
def test_a_database_of_something_else_is_left_alone(pair: Pair) -> None:
    query(pair[1], "CREATE TABLE orders (id integer)")

    with pytest.raises(Refused, match="not empty: it has a table orders"):
        moved(pair)
    with pytest.raises(Exception, match="user_account"):
        query(pair[1], "SELECT * FROM user_account")


@deep
def test_a_row_that_does_not_fit_is_named_and_mended(sqlite_url: str, empty_postgres_url: str) -> None:
    """SQLite keeps longer texts than a column is for."""
    fill(sqlite_url)
    query(sqlite_url, "UPDATE user_account SET about_me = :words WHERE id = 1010", words="x" * 200)

    with pytest.raises(Refused, match="row of user_account with id 1010 does not fit there: value too long"):
        moved((sqlite_url, empty_postgres_url))
    query(sqlite_url, "UPDATE user_account SET about_me = 'short' WHERE id = 1010")
    moved((sqlite_url, empty_postgres_url))

    assert everything(sqlite_url) == everything(empty_postgres_url)


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("mysql://db.example/site", "--to must begin with"),
        ("sqlite:////no/such/folder/site.db", "no folder"),
        ("", "--to must begin with"),
        ("postgresql://blog@127.0.0.1:1/blog", "are its host and port in --to right?"),
        ("postgresql://blog@no-such-host.invalid/blog", "the host in --to can't be found"),
    ],
)
def test_an_impossible_place_is_refused_in_a_line(sqlite_url: str, to: str, words: str) -> None:
    with pytest.raises(Refused, match=words) as refused:
        moved((sqlite_url, to))
    assert "\n" not in str(refused.value)


def test_a_site_does_not_move_to_where_it_is(sqlite_url: str) -> None:
    with pytest.raises(Refused, match="already"):
        moved((sqlite_url, sqlite_url.replace("+aiosqlite", "")))


@pytest.mark.alike
def test_a_database_that_is_not_up_to_date_is_not_moved(pair: Pair) -> None:
    query(pair[0], "UPDATE alembic_version SET version_num = '0000'")

    with pytest.raises(Refused, match="not up to date"):
        moved(pair)


@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        ("AFTER INSERT ON post BEGIN UPDATE post SET body = 'another' WHERE id = 1010; END", r"post \(1010,\) is not"),
        ("AFTER INSERT ON post BEGIN DELETE FROM post WHERE id = 1040; END", "rows of post are missing"),
    ],
)
@one_in(2)
@deep
def test_a_copy_that_is_not_the_same_is_found(sqlite_url: str, tmp_path: Path, trigger: str, words: str) -> None:
    """Here the new database spoils what it is given, as a faulty disk might."""
    to = f"sqlite+aiosqlite:///{tmp_path / 'new.db'}"
    fill(sqlite_url, 40)
    migrations.upgrade(to)
    query(to, f"CREATE TRIGGER spoil {trigger}")

    with pytest.raises(Refused, match=words):
        moved((sqlite_url, to))
    query(to, "DROP TRIGGER spoil")

    moved((sqlite_url, to))
    assert everything(sqlite_url) == everything(to)


@one_in(2)
@deep
def test_nobody_writes_into_the_old_database_meanwhile(pair: Pair) -> None:
    """Even a site that is started too early. Reading goes on."""
    fill(pair[0], 40)
    write = "LOCK TABLE post IN ROW EXCLUSIVE MODE NOWAIT" if "postgresql" in pair[0] else ""
    refused: list[str] = []

    def try_to_write(line: str) -> None:
        if line.startswith("Every row is the same"):
            return
        if write:
            with pytest.raises(DBAPIError, match="could not obtain lock"):
                query(pair[0], write)
        else:
            with closing(sqlite3.connect(pair[0].partition(":///")[2], timeout=0, isolation_level=None)) as visitor:
                assert visitor.execute("SELECT count(*) FROM post").fetchone() == (40,)
                with pytest.raises(sqlite3.OperationalError, match="locked"):
                    visitor.execute("BEGIN IMMEDIATE")
        refused.append(line)

    move.run(*pair, say=try_to_write)

    assert len(refused) == len(TABLES)
