"""How an email leaves: claimed from the outbox, written, and handed to the mail server."""
