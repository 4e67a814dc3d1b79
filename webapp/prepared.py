"""Statements of the hot paths: compiled once for each kind of database, and then handed to the driver as they are.

SQLAlchemy finds, binds and describes a statement anew each time it runs, which costs several times what the database
itself does for a short one. Here that is done once. Everything else goes through `database.execute` or the session.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect
from sqlalchemy.orm import Session
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.selectable import ReturnsRows
from sqlalchemy.types import TypeEngine

from webapp.direct import Direct, Row, Transaction

Convert = Callable[[Any], Any] | None


class Prepared:
    """A statement with bind parameters for all that changes; for an INSERT, also the columns that it is given.

    It runs in the transaction that it is given, past the ORM. Raises what SQLAlchemy raises.
    """

    def __init__(self, statement: Executable, *columns: str) -> None:
        self.statement = statement
        self.columns = columns
        self._compiled: dict[str, _Compiled] = {}

    async def rows(self, db: Transaction, parameters: Mapping[str, Any]) -> list[Row]:
        """Runs it once; returns its rows, each with the columns in their order."""
        if isinstance(db, Direct):
            compiled = self._for(db.dialect)
            return compiled.converted(await db.run(compiled.text, compiled.values(parameters)))
        return await db.run_sync(self._run, parameters)

    async def row(self, db: Transaction, parameters: Mapping[str, Any]) -> Row | None:
        """Runs it once; returns the first row, or None if there is none."""
        rows = await self.rows(db, parameters)
        return rows[0] if rows else None

    async def run_each(self, db: Transaction, parameters: Sequence[Mapping[str, Any]]) -> None:
        """Runs it once for each of the parameters, in one trip where the driver can."""
        if isinstance(db, Direct):
            compiled = self._for(db.dialect)
            return await db.run_each(compiled.text, [compiled.values(each) for each in parameters])
        await db.run_sync(self._run_each, parameters)

    def _run(self, session: Session, parameters: Mapping[str, Any]) -> list[Row]:
        connection = session.connection()
        compiled = self._for(connection.dialect)
        values = compiled.values(parameters)
        return compiled.converted(_execute(connection, connection.dialect.do_execute, compiled.text, values))

    def _run_each(self, session: Session, parameters: Sequence[Mapping[str, Any]]) -> None:
        connection = session.connection()
        compiled = self._for(connection.dialect)
        values = [compiled.values(each) for each in parameters]
        _execute(connection, connection.dialect.do_executemany, compiled.text, values)

    def _for(self, dialect: Dialect) -> "_Compiled":
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = _Compiled(self.statement, self.columns, dialect)
        return compiled


class _Compiled:
    """A statement as one kind of database takes it."""

    def __init__(self, statement: Executable, columns: Sequence[str], dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=columns or None)  # type: ignore[attr-defined]
        assert isinstance(compiled, SQLCompiler)
        assert compiled.positiontup is not None
        self.text = compiled.string
        binds = [(name, compiled.binds[name]) for name in compiled.positiontup]
        self.binds = [(name, _to_driver(bind.type, dialect)) for name, bind in binds]
        self.own_values = {name: bind.value for name, bind in binds if not bind.required}
        answered = statement.exported_columns if isinstance(statement, ReturnsRows) else ()
        self.results = [_from_driver(column.type, dialect) for column in answered]

    def values(self, parameters: Mapping[str, Any]) -> tuple[Any, ...]:
        given = {**self.own_values, **parameters}
        return tuple([convert(given[name]) if convert else given[name] for name, convert in self.binds])

    def converted(self, rows: Sequence[Row]) -> list[Row]:
        if not any(self.results):
            return list(rows)
        return [
            tuple([convert(value) if convert else value for convert, value in zip(self.results, row, strict=True)])
            for row in rows
        ]


def _execute(connection: Connection, do_execute: Callable[..., None], text: str, values: Any) -> Sequence[Row]:
    cursor = connection.connection.cursor()
    try:
        do_execute(cursor, text, values)
        rows = cursor.fetchall() if cursor.description else []
    except BaseException as error:
        # As Connection.execute does: it tells whether the connection is lost, and wraps what a driver raises.
        connection._handle_dbapi_exception(error, None, None, cursor, None)
    cursor.close()
    return rows


def _to_driver(type_: TypeEngine[Any], dialect: Dialect) -> Convert:
    return type_.dialect_impl(dialect).bind_processor(dialect)


def _from_driver(type_: TypeEngine[Any], dialect: Dialect) -> Convert:
    return type_.dialect_impl(dialect).result_processor(dialect, None)
