"""The command line, `python -m webapp`."""
