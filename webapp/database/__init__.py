"""The database: its engine and sessions, what SQLite needs, the hot paths, cleaning up, and the migrations."""

from webapp.clock import CLOCKS_DIFFER, now
from webapp.database.engine import (
    LAST_ID,
    Database,
    execute,
    execute_together,
    is_recent,
    moment_in,
    partial_index,
    recent,
    release,
    table,
    wake_after_commit,
)

__all__ = [
    "CLOCKS_DIFFER",
    "LAST_ID",
    "Database",
    "execute",
    "execute_together",
    "is_recent",
    "moment_in",
    "now",
    "partial_index",
    "recent",
    "release",
    "table",
    "wake_after_commit",
]
