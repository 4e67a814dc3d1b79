"""Who uses none of it pays for none of it."""

import subprocess
import sys

UNUSED = {"pyotp", "segno"}  # cryptography is imported by PyJWT, wherever it is installed


def test_a_site_that_starts_imports_nothing_of_what_few_need() -> None:
    """In a process of its own, and so a second long: this one has imported everything."""
    code = "import sys, webapp.app, webapp.cli.main; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert "webapp.factors.totp" in loaded
    assert {name.partition(".")[0] for name in loaded} & UNUSED == set()
