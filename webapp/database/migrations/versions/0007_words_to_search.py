"""words to search."""

import string
import unicodedata
from collections.abc import Sequence

from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# No model knows of any of this: SQLite has tables of words beside the tables, which triggers keep in step, and
# PostgreSQL columns of words in them. A migration that makes "post" or "user_account" anew on SQLite, as
# batch_alter_table does for a column, loses the triggers with the old table and must bring them back.
# Both databases index plain words only: without accents on Latin letters, and in Russian without the dots on ё.
INDEXED = {"post": ("post_words", "body"), "user_account": ("person_words", "username, about_me")}


def upgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        _to_sqlite("post", _plain_in_sqlite("{row}body"))
        # A name is one word, with its underscores; what somebody says of themselves is not.
        about = _plain_in_sqlite("replace({row}about_me, '_', ' ')")
        _to_sqlite("user_account", f"{{row}}username, {about}", tokens="tokenchars '_'")
    else:
        _to_postgresql("post", _plain_in_postgresql("body"))
        name = r"(username_key || '\:1A')::tsvector"
        _to_postgresql("user_account", f"{name} || setweight({_plain_in_postgresql('about_me')}, 'B')")


def downgrade() -> None:
    for table, (words, _columns) in INDEXED.items():
        if op.get_context().dialect.name == "sqlite":
            for event in ("added", "gone", "changed"):
                op.execute(f"DROP TRIGGER {words}_{event}")
            op.execute(f"DROP TABLE {words}")
        else:
            op.drop_column(table, "words")  # and its index


def _to_sqlite(table: str, plain: str, tokens: str = "") -> None:
    words, columns = INDEXED[table]
    # It keeps the words only, not the texts they stand in (content=''), nor how many they are, for nothing is ranked.
    op.execute(
        f"CREATE VIRTUAL TABLE {words} USING fts5({columns}, content='', columnsize=0,"
        f' tokenize="unicode61 remove_diacritics 2 {tokens}")'
    )
    op.execute(f"INSERT INTO {words} (rowid, {columns}) SELECT id, {plain.format(row='')} FROM {table}")
    add = f"INSERT INTO {words} (rowid, {columns}) VALUES (new.id, {plain.format(row='new.')});"
    # Without the texts, the index has to be told what it forgets.
    remove = f"INSERT INTO {words} ({words}, rowid, {columns}) VALUES ('delete', old.id, {plain.format(row='old.')});"
    op.execute(f"CREATE TRIGGER {words}_added AFTER INSERT ON {table} BEGIN {add} END")
    op.execute(f"CREATE TRIGGER {words}_gone AFTER DELETE ON {table} BEGIN {remove} END")
    op.execute(f"CREATE TRIGGER {words}_changed AFTER UPDATE OF id, {columns} ON {table} BEGIN {remove} {add} END")


def _plain_in_sqlite(text: str) -> str:
    """Its tokenizer leaves out accents, but knows nothing of Russian."""
    return f"replace(replace({text}, 'ё', 'е'), 'Ё', 'Е')"


def _to_postgresql(table: str, words: str) -> None:
    op.execute(f"ALTER TABLE {table} ADD COLUMN words tsvector GENERATED ALWAYS AS ({words}) STORED NOT NULL")
    op.execute(f"CREATE INDEX ix_{table}_words ON {table} USING gin (words)")


def _plain_in_postgresql(text: str) -> str:
    """Its parser would keep addresses, hyphenated words and numbers whole, and leave out what looks like a tag."""
    latin = [chr(code) for code in (*range(0xC0, 0x250), *range(0x1E00, 0x1F00))]
    plain = {letter: base for letter in latin if (base := unicodedata.normalize("NFD", letter)[0]).isascii()}
    plain |= {"ё": "е", "Ё": "Е"} | dict.fromkeys(string.punctuation, " ")
    before, after = (some.replace("'", "''") for some in ("".join(plain), "".join(plain.values())))
    return f"to_tsvector('simple'::regconfig, translate({text}, '{before}', '{after}'))"
