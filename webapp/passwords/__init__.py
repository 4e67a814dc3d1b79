"""Passwords: which are good enough, how they are hashed, and hashes from other software. Knows no accounts."""
