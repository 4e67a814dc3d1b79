"""Somebody follows "this wasn't me" in an email, and the account is closed until its owner has a new password."""
