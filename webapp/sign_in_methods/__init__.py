"""The settings' page for everything you can log in with, and those of the authenticator app and the recovery codes."""
