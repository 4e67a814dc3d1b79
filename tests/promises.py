"""Which tests prove which promise: reads the ids (C17, G3) in the tests, and fills the last column of docs/promises.md.

`make promises` calls it; tests/test_promises.py fails when the document and the tests disagree.
"""

import re
from pathlib import Path

from webapp.settings import ROOT

DOCUMENT = ROOT / "docs" / "promises.md"
ID = re.compile(r"\b(?:C\d{2}|G\d{1,2})\b")
ROW = re.compile(rf"^\| ({ID.pattern}) \| (.+?) \|(.*)\|$", re.MULTILINE)
UNPROVED = "no test yet"


def proofs() -> dict[str, list[str]]:
    """The test files that name each id, in order."""
    found: dict[str, list[str]] = {}
    for file in sorted((ROOT / "tests").rglob("*.py")):
        if file.name in {Path(__file__).name, "test_promises.py"}:
            continue
        for promise in sorted(set(ID.findall(file.read_text()))):
            found.setdefault(promise, []).append(str(file.relative_to(ROOT)))
    return found


def filled(text: str) -> str:
    """The document with its last column as the tests have it."""
    by_id = proofs()

    def row(match: re.Match[str]) -> str:
        files = ", ".join(f"`{name}`" for name in by_id.get(match[1], []))
        return f"| {match[1]} | {match[2]} | {files or UNPROVED} |"

    return ROW.sub(row, text)


if __name__ == "__main__":
    DOCUMENT.write_text(filled(DOCUMENT.read_text()))
