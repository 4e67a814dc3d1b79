"""Who you are: accounts, their passwords, their sessions and the links that speak for them. Knows no HTTP."""
