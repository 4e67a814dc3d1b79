"""Words of what was there before the site could search."""

from alembic import command

from tests.inspection import query
from webapp.database import migrations

SUSAN = """
    INSERT INTO user_account
    (id, username, username_key, email, password_hash, epoch, locale, created_at, last_seen, about_me, is_public)
    VALUES (7, 'Susan', 'susan', 'susan@example.com', '!', 0, 'en', :moment, :moment, 'I like Ёлка.', TRUE)
"""
POST = """
    INSERT INTO post (id, author_id, body, created, removed_because)
    VALUES (9, 7, 'A garden in example.com', :moment, '')
"""
FOUND = {
    "sqlite": "SELECT {table}.id FROM {words} JOIN {table} ON {table}.id = {words}.rowid WHERE {words} MATCH :word",
    "postgresql": "SELECT {table}.id FROM {table} WHERE words @@ CAST(:word AS tsquery)",
}


def found(database_url: str, table: str, words: str, word: str) -> list[int]:
    statement = FOUND[database_url.partition("+")[0]].format(table=table, words=words)
    return [number for (number,) in query(database_url, statement, word=word)]


def test_what_was_there_before_is_found_and_stays_as_it_was(database_url: str) -> None:
    command.downgrade(migrations.config(database_url), "0006")
    moment = "'2026-11-20 10:00:00+00:00'" if "postgresql" in database_url else "'2026-11-20 10:00:00.000000'"
    for row in (SUSAN, POST):
        query(database_url, row.replace(":moment", moment))

    migrations.upgrade(database_url)

    assert found(database_url, "post", "post_words", "example") == [9]
    assert found(database_url, "user_account", "person_words", "елка") == [7]
    assert found(database_url, "user_account", "person_words", "susan") == [7]
    assert query(database_url, "SELECT id, author_id, body FROM post") == [(9, 7, "A garden in example.com")]
