"""How letters leave: claimed from the outbox, written, and handed to the mail server."""
