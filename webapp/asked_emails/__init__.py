"""Emails that a visitor asked for: what the page that waits for one knows about it, and the code that works there."""
