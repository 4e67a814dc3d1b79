"""The way back in: forget a password, use a recovery code, or say "this wasn't me"."""
