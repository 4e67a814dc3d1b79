"""Emails that a visitor asked for: what the page that waits for one knows of it, and the code that works there."""
