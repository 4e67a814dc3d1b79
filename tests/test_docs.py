"""The documents name files, tests, settings and commands that are there."""

import re

import pytest

from webapp.settings import ROOT

DOCUMENTS = ["README.md", "CONTRIBUTING.md", *(f"docs/{file.name}" for file in sorted((ROOT / "docs").glob("*.md")))]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_file_that_a_document_names_is_there(name: str) -> None:
    text = (ROOT / name).read_text()
    named = re.findall(r"`((?:webapp|tests|static|templates|docs)/[\w./-]+)`", text)
    linked = re.findall(r"\]\(((?!\w+:)[^)#]+)\)", text)

    missing = [path for path in named if not (ROOT / path).exists()]
    missing += [path for path in linked if not ((ROOT / name).parent / path).exists()]

    assert missing == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_route_that_a_document_names_is_there(name: str) -> None:
    routes = (ROOT / "webapp" / "routes.py").read_text()
    text = re.sub(r"```.*?```", "", (ROOT / name).read_text(), flags=re.DOTALL)
    named = re.findall(r"`(/(?:\.well-known|admin|[a-z_]+)[a-z_/{}.-]*)`", text)

    assert [path for path in named if f'"{path}"' not in routes] == []
