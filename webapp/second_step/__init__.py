"""The second step of a log-in, and the waiting room of those who can't take it any more."""
