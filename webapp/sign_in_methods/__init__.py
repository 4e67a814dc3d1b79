"""The settings' page of everything that one can log in with, and of the authenticator app."""
