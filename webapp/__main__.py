"""`python -m webapp` is the command line of the site."""

import sys

from webapp.cli.main import main

sys.exit(main())
