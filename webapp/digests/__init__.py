"""Once a week, an email with what a person missed."""
