"""What opens an account beside its password: an authenticator app, recovery codes, a trusted browser. Knows no HTTP."""
