"""Emails that lie in the outbox, posted as features do."""

from datetime import timedelta

from webapp.database import Database
from webapp.mail import outbox
from webapp.mail.models import Priority
from webapp.settings import Settings

SETTINGS = Settings(base_url="https://blog.example", secret_key="x", database_url="sqlite+aiosqlite://")
AN_HOUR = timedelta(hours=1)


async def post(
    database: Database,
    count: int = 1,
    expires_after: timedelta = AN_HOUR,
    *,
    kind: str = "reset_password",
    name: str = "person",
    priority: Priority = Priority.WAITED_FOR,
) -> None:
    """Posts so many emails, all at one moment."""
    async with database.session(is_writing=True) as db:
        for number in range(count):
            await outbox.post(
                db,
                SETTINGS,
                kind,
                recipient=f"{name}{number}@example.com",
                language="en",
                expires_after=expires_after,
                priority=priority,
                parameters={"color": "red"},
            )
        await db.commit()
