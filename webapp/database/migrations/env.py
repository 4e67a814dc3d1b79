"""Alembic's environment: migrates the database to the revision that the code expects."""

import asyncio
import os
import re
from contextlib import aclosing, suppress
from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection
from sqlmodel import SQLModel
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

import webapp.app  # noqa: F401  (every table is imported by the application)
from webapp.database import Database
from webapp.settings.database_url import sqlite_file


def render_item(kind: str, item: Any, _context: AutogenContext) -> str | Literal[False]:
    """Writes plain SQLAlchemy types. Migrations outlive the code, so they import nothing from it."""
    if kind == "type" and isinstance(item, UTCDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, AutoString):
        return f"sa.String(length={item.length})" if item.length else "sa.String()"
    return False


def is_of_models(name: str | None, _kind: str, _parents: Any) -> bool:
    """The search indexes belong to no model: each database has its own kind (see the initial migration)."""
    return not re.fullmatch(r"(post|person)_words(_\w+)?|words|ix_(post|user_account)_words", name or "")


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        render_item=render_item,
        include_name=is_of_models,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def run() -> None:
    url = context.config.attributes["database_url"]
    if file := sqlite_file(url):
        with suppress(OSError):  # SQLite will say what is wrong
            os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))  # only its owner may read it, or its log
    async with aclosing(Database(url, is_patient=True)) as database:
        async with database.writing.connect() as connection:
            await connection.run_sync(migrate)
            await connection.commit()
        await database.flush.wait()


asyncio.run(run())
