"""Which of the optional letters a person wants."""
