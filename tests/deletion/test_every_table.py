"""Whoever adds a table says what becomes of it when an account is deleted."""

from sqlalchemy import Table
from sqlmodel import SQLModel

from webapp import app  # noqa: F401  (every model)
from webapp.deletion.erasure import belongings

# Holds nothing about a person, or nothing that says whose it is.
IMPERSONAL = {
    "decided_report": "what was reported and decided, in words, with addresses masked",
    "error_report": "fingerprints of errors",
    "form_answer": "a minute's answers, sealed with what only the browser has",
    "hash_cost": "what hashes cost",
    "mail_status": "what is wrong with the mail; addresses were masked before they came in",
    "retired_username": "keyed hashes",
}
# Holds something about a person without referring to their account; see `_others` in webapp/deletion/erasure.py.
BY_HAND = {"limit_window", "outbox_email", "refused_address", "registration_request", "security_event"}


def test_every_table_goes_with_the_account_or_is_named() -> None:
    """A table goes by itself if a row of it refers to an account, or to a row that does, and is deleted with it."""
    goes = {"user_account", "account_deletion"} | {table.name for table, _owner in belongings()}
    while more := {table.name for table in SQLModel.metadata.tables.values() if _refers(table, goes)} - goes:
        goes |= more

    left = set(SQLModel.metadata.tables) - goes - set(IMPERSONAL) - BY_HAND

    assert left == set()


def _refers(table: Table, goes: set[str]) -> bool:
    return any(key.column.table.name in goes and key.ondelete == "CASCADE" for key in table.foreign_keys)


def test_no_column_outlives_the_account_it_names() -> None:
    """A reply is its own author's: it stays when the post that it answers goes, and names it no more."""
    refers = [key for table in SQLModel.metadata.tables.values() for key in table.foreign_keys]

    assert {str(key.parent): key.ondelete for key in refers if key.ondelete != "CASCADE"} == {
        "post.reply_to_id": "SET NULL"
    }


def test_what_is_called_impersonal_has_no_column_for_a_person() -> None:
    personal = {"user_id", "author_id", "email", "address", "recipient", "username", "client_ip", "user_agent"}

    named = {name: set(SQLModel.metadata.tables[name].columns.keys()) & personal for name in IMPERSONAL}

    assert {name: columns for name, columns in named.items() if columns} == {}
