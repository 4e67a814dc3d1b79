"""Passkeys: keys in a person's devices that open the account without a password. Knows no HTTP."""
