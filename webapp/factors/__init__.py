"""What opens an account besides its password: an authenticator app, recovery codes, trusted browsers. Knows no HTTP."""
