"""The log of security events: what happened to accounts, when, and from where."""
