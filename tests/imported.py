"""People who are imported in a test's own transaction."""

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.imports import csv_rows, import_users
from webapp.imports.import_users import COLUMNS, TakenNames
from webapp.settings import Settings


async def add_accounts(db: AsyncSession, settings: Settings, text: str) -> list[str]:
    """Adds the accounts of a CSV text, as `import-users` does; returns what is wrong, naming each bad line."""
    rows = csv_rows.parse(text, COLUMNS[:2], COLUMNS)
    checked = import_users.check(rows, await TakenNames.read(db, settings), settings.mail_local_domains)
    if not checked.problems:
        await import_users.insert(db, checked.accounts)
    return checked.problems
