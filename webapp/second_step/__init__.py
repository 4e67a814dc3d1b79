"""The second step of a log-in, and the waiting room for people who can no longer take it."""
