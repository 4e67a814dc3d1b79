"""Who you are: accounts, their passwords and sessions, and the links that stand for them. Knows no HTTP."""
