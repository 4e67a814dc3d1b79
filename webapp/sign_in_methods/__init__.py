"""The settings page for everything you can log in with, and the pages of the authenticator app and recovery codes."""
