"""The database's history, for `python -m webapp migrate`."""

from pathlib import Path

from alembic import command
from alembic.config import Config


def config(database_url: str) -> Config:
    """Alembic's configuration for one database, without an alembic.ini."""
    alembic = Config()
    alembic.set_main_option("script_location", str(Path(__file__).parent))
    alembic.set_main_option("path_separator", "os")
    alembic.attributes["database_url"] = database_url
    return alembic


def upgrade(database_url: str) -> None:
    """Brings the database to the newest state; does nothing if it is there. Not from a running event loop."""
    command.upgrade(config(database_url), "head")
