"""Which optional emails people want, how several become one, and what was sent. Knows no HTTP."""
