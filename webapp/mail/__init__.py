"""How letters leave, and why none is lost. Knows nothing of accounts."""
