"""`python -m webapp` is the command line of the site."""

import sys

from webapp.cli import main

sys.exit(main())
