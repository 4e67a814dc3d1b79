"""Which optional emails a person wants, several of one kind sent as one, and what was sent. Knows no HTTP."""
