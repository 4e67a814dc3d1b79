"""The database's history: it ends where the models are, and can be walked both ways."""

from pathlib import Path

import pytest
from alembic import command
from alembic.util import CommandError

from tests.depth import deep, one_in
from tests.inspection import query
from webapp.database import migrations
from webapp.settings import ROOT


def tables(database_url: str) -> set[str]:
    names = (
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        if database_url.startswith("sqlite")
        else "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    )
    return {name for (name,) in query(database_url, names)}


def test_the_history_ends_where_the_models_are(database_url: str) -> None:
    command.check(migrations.config(database_url))


@deep
def test_a_difference_between_history_and_models_is_found(database_url: str) -> None:
    """The control of the test above."""
    query(database_url, "ALTER TABLE user_account ADD COLUMN extra INTEGER")

    with pytest.raises(CommandError, match="New upgrade operations detected"):
        command.check(migrations.config(database_url))


@one_in(2)
def test_the_history_can_be_walked_back_and_forth(database_url: str) -> None:
    everything = tables(database_url)

    command.downgrade(migrations.config(database_url), "base")
    nothing = tables(database_url)
    migrations.upgrade(database_url)

    assert {"user_account", "session", "outbox_email", "limit_window"} <= everything
    assert nothing == {"alembic_version"}
    assert tables(database_url) == everything
    command.check(migrations.config(database_url))


def test_migrating_twice_changes_nothing(database_url: str) -> None:
    query(database_url, "INSERT INTO limit_window (key, count, ends) VALUES ('kept', 1, 1)")

    migrations.upgrade(database_url)

    assert query(database_url, "SELECT key FROM limit_window") == [("kept",)]


@pytest.mark.parametrize(
    "file", sorted((ROOT / "webapp" / "database" / "migrations" / "versions").glob("*.py")), ids=lambda f: f.stem
)
def test_a_migration_imports_nothing_of_the_code_it_will_outlive(file: Path) -> None:
    source = file.read_text()

    assert "import webapp" not in source
    assert "from webapp" not in source
    assert "sqlmodel" not in source
