"""An `app.db` as the tutorial's own application makes it, by its last chapter's schema."""

import sqlite3
from contextlib import closing
from pathlib import Path

# As Flask-Migrate and SQLAlchemy 2 leave it on SQLite.
SCHEMA = """
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY);
CREATE TABLE user (
    id INTEGER NOT NULL PRIMARY KEY, username VARCHAR(64) NOT NULL, email VARCHAR(120) NOT NULL,
    password_hash VARCHAR(256), about_me VARCHAR(140), last_seen DATETIME, last_message_read_time DATETIME,
    token VARCHAR(32), token_expiration DATETIME
);
CREATE UNIQUE INDEX ix_user_email ON user (email);
CREATE UNIQUE INDEX ix_user_username ON user (username);
CREATE TABLE post (
    id INTEGER NOT NULL PRIMARY KEY, body VARCHAR(140) NOT NULL, timestamp DATETIME NOT NULL,
    user_id INTEGER NOT NULL REFERENCES user (id), language VARCHAR(5)
);
CREATE TABLE followers (
    follower_id INTEGER NOT NULL REFERENCES user (id), followed_id INTEGER NOT NULL REFERENCES user (id),
    PRIMARY KEY (follower_id, followed_id)
);
CREATE TABLE message (
    id INTEGER NOT NULL PRIMARY KEY, sender_id INTEGER NOT NULL REFERENCES user (id),
    recipient_id INTEGER NOT NULL REFERENCES user (id), body VARCHAR(140) NOT NULL, timestamp DATETIME NOT NULL
);
CREATE TABLE notification (
    id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(128) NOT NULL, user_id INTEGER NOT NULL, timestamp FLOAT NOT NULL,
    payload_json TEXT NOT NULL
);
CREATE TABLE task (
    id VARCHAR(36) NOT NULL PRIMARY KEY, name VARCHAR(128) NOT NULL, description VARCHAR(128), user_id INTEGER NOT NULL,
    complete BOOLEAN NOT NULL
);
"""
# "correct horse battery", as Werkzeug 3.1.9 hashes it.
HASH = (
    "scrypt:32768:8:1$FQOvNig3hXXBx43e$7d6d61d0ecb3dfd7f2e5201b644f410ddcbeed24cbc95d9f7907621d868db04634"
    "efaafaecae974bd5894ea29e6b5da7e7758d0df0cd936915b5eba63263be4d"
)


class TutorialDatabase:
    """People have the tests' password; each is named with an address."""

    def __init__(self, file: Path, **people: str) -> None:
        self.file = file
        with closing(sqlite3.connect(file)) as db:
            db.executescript(SCHEMA)
        for name, email in people.items():
            self.add_person(name, email)

    def add_person(self, name: str, email: str, password_hash: str | None = HASH, about: str | None = None) -> None:
        seen = "2024-03-05 17:20:11.123456"
        columns = "username, email, password_hash, about_me, last_seen"
        self.run(f"INSERT INTO user ({columns}) VALUES (?, ?, ?, ?, ?)", name, email, password_hash, about, seen)

    def add_post(self, name: str, body: str, when: str = "2024-03-04 09:00:00.000000") -> None:
        author = "(SELECT id FROM user WHERE username = ?)"
        self.run(f"INSERT INTO post (body, timestamp, user_id) VALUES (?, ?, {author})", body, when, name)

    def follow(self, name: str, other: str) -> None:
        number = "(SELECT id FROM user WHERE username = ?)"
        self.run(f"INSERT INTO followers VALUES ({number}, {number})", name, other)

    def run(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self.file)) as db:
            db.execute(statement, values)
            db.commit()
