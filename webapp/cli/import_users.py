"""Accounts that come from another site, as a file."""

import csv

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import reserved_emails, users
from webapp.accounts.models import User
from webapp.accounts.passwords import is_hash


async def add_accounts(db: AsyncSession, text: str) -> list[str]:
    """Adds the accounts of a CSV text with the columns username, email and perhaps password_hash (argon2).

    Returns what is wrong, naming each bad line; the caller commits only if that is nothing.
    """
    try:
        reader = csv.DictReader(text.splitlines(), strict=True)
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        return [f"this is no CSV: {error}"]
    if not rows or not {"username", "email"} <= set(rows[0][1]):
        return ["the first line must name the columns: username,email (and perhaps password_hash)."]
    names = set((await db.exec(select(User.username_key))).all())
    addresses = set((await db.exec(select(User.email))).all()) | await reserved_emails.held(db)
    problems = []
    for number, row in rows:
        try:
            db.add(_user(row, names, addresses))
        except ValueError as refused:
            problems.append(f"line {number}: {refused}")
    if not problems:
        await db.flush()
    return problems


def _user(row: dict[str, str], names: set[str], addresses: set[str]) -> User:
    """The account of one line. Raises ValueError; adds its name and address to those that are taken."""
    username, password_hash = (row["username"] or "").strip(), (row.get("password_hash") or "").strip()
    if None in row:
        raise ValueError("there are more values than columns")
    if not users.USERNAME.fullmatch(username):
        raise ValueError(f"'{username}' is not a name: 3 to 30 letters from a to z, digits or underscores")
    email = users.canonical_address(row["email"] or "")
    if password_hash and not is_hash(password_hash):
        raise ValueError("the password_hash is not an argon2 hash")
    if username.lower() in names:
        raise ValueError(f"the name '{username}' is taken")
    if email in addresses:
        raise ValueError(f"the address '{email}' has an account already, or is kept for one that can go back to it")
    names.add(username.lower())
    addresses.add(email)
    return users.new(username, email, password_hash or users.NO_PASSWORD)
