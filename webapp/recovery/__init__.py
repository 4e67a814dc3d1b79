"""The way back in: forget a password, or use a recovery code."""
