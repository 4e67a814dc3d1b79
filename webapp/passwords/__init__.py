"""Passwords: which are good enough, how they are hashed, and hashes that were made elsewhere. Knows no accounts."""
