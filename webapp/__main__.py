"""`python -m webapp` is the command line of the site."""

import sys

try:
    from webapp.cli.main import main
except ModuleNotFoundError as missing:
    if (missing.name or "").startswith("webapp"):
        raise
    sys.exit(
        f"This Python has no {missing.name}. Use the site's own, which `make run` makes: .venv/bin/python -m webapp"
    )

sys.exit(main())
