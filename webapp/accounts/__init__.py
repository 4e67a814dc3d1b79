"""Who you are: accounts, sessions, and the way back in."""
