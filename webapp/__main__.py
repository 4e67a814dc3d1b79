"""`python -m webapp` is the command line of the site."""

import os
import sys

try:
    from webapp.cli.main import main
except ModuleNotFoundError as missing:
    if (missing.name or "").startswith("webapp"):
        raise
    sys.exit(
        f"This Python has no {missing.name}. Use the site's own, which `make run` makes: .venv/bin/python -m webapp"
    )

if sys.stdin is None:  # as a shell's `<&-` leaves it
    sys.stdin = open(os.devnull)  # noqa: SIM115

sys.exit(main())
