"""Which optional emails a person wants, how several become one, and what was sent. Knows no HTTP."""
