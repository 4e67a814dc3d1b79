"""The database: its engine and sessions, what SQLite needs, the hot paths, cleaning up, and the migrations."""

from webapp.database.engine import LAST_ID, Database, execute, now, release, table, wake_after_commit

__all__ = ["LAST_ID", "Database", "execute", "now", "release", "table", "wake_after_commit"]
