"""Once a week, a letter with what a person missed."""
