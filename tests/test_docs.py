"""The documents name files, tests, settings and commands that are there."""

import ast
import contextlib
import inspect
import itertools
import re
import shlex
import sqlite3
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.test_locks import ARGUMENTS
from webapp import mail
from webapp.accounts import tokens, users
from webapp.cli import main
from webapp.mail import kinds
from webapp.notifications import switches
from webapp.settings import ROOT

PAGES = [file.relative_to(ROOT).as_posix() for file in sorted((ROOT / "docs").rglob("*.md"))]
# What examples call by the name of its module.
OURS = {"mail": mail, "kinds": kinds, "switches": switches, "tokens": tokens, "users": users}
DOCUMENTS = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", *PAGES]


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

    paths = [path for path in named if not path.startswith(("/etc/", "/opt/", "/run/", "/usr/", "/var/"))]

    assert [path for path in paths if f'"{path}"' not in routes] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_function_that_an_example_calls_is_there(name: str) -> None:
    blocks = re.findall(r"^```(?:python|pycon)\n(.*?)^```", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL)
    called = re.findall(r"\bawait (\w+)\.(\w+)\(|\b(tokens|kinds|outbox|users|mail)\.(\w+)\(", "\n".join(blocks))
    pairs = {(one or other, function or another) for one, function, other, another in called}

    missing = [pair for pair in pairs if pair[0] != "db" and not _defines(*pair)]

    assert missing == []


def calls(name: str) -> Iterator[tuple[str, ast.Call]]:
    """The calls in a document's examples: what is called, and the call. An example may be a part of a function."""
    blocks = re.findall(r"^```(?:python|pycon)\n(.*?)^```", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL)
    for block in blocks:
        for node in ast.walk(ast.parse(re.sub("^>>> ", "", block, flags=re.MULTILINE))):
            if isinstance(node, ast.Call):
                yield ast.unparse(node.func), node


def test_every_call_in_an_example_is_one_that_the_function_takes() -> None:
    checked = set()
    for called, call in itertools.chain.from_iterable(map(calls, DOCUMENTS)):
        owner, _dot, function = called.rpartition(".")
        if owner in OURS or called in {"Draft", "email_kind"}:
            given = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
            inspect.signature(getattr(OURS.get(owner, kinds), function)).bind(*call.args, **given)
            checked.add(called)

    assert {"Draft", "email_kind"} < checked, "the control"


def lines_to_copy(name: str) -> str:
    """The blocks of a page for somebody who deploys the site, as one script."""
    return "\n".join(re.findall(r"^```\n(.*?)^```$", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("name", ["docs/deploy/README.md", "docs/backup.md", "docs/keys.md"])
def test_the_lines_to_copy_are_a_script(name: str) -> None:
    done = subprocess.run(["/bin/bash", "-n"], input=lines_to_copy(name), capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_the_lines_to_copy_name_nothing_that_is_not_there() -> None:
    """Their files of ours, their commands, their settings, and variables that an earlier line has set."""
    script = lines_to_copy("docs/deploy/README.md")
    files = re.findall(r"/opt/microblog/([\w./-]+)", script)
    # `microblog unix` is a line of Postfix.
    commands = re.findall(r"^microblog (?!unix )([a-z-]+)", script, re.MULTILINE)
    [settings] = re.findall(r"cat > /etc/microblog/environment <<END\n(.*?)^END", script, re.MULTILINE | re.DOTALL)
    names = {line.partition("=")[0] for line in settings.splitlines()} | {"BOUNCE_ADDRESS"}
    used = set(re.findall(r"\$([A-Z]+)", script))

    assert [file for file in files if not file.startswith(".venv") and not (ROOT / file).exists()] == []
    assert set(commands) <= set(ARGUMENTS)
    assert [name for name in names if name not in (ROOT / "docs" / "settings.md").read_text()] == []
    assert used == set(re.findall(r"^([A-Z]+)=", script.partition("END")[0], re.MULTILINE))


def code(name: str) -> list[str]:
    """What a document gives to type: the lines of its blocks, and what stands between backticks."""
    text = (ROOT / name).read_text()
    blocks = re.findall(r"^```\w*\n(.*?)^```|^ {4}(\S.*)$", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in "".join(block).splitlines()] + re.findall(r"`([^`\n]+)`", text)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_that_a_document_gives_can_be_typed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is read as the command line itself reads it, and not run. One that is only named needs no arguments."""
    typed = [found[1] for line in code(name) if (found := re.search(r"\bpython3? -m webapp ([a-z][^|<;&]*)", line))]
    typed += [line.removeprefix("microblog ") for line in code(name) if re.match(r"microblog (?!unix )[a-z]", line)]
    for line in typed:
        words = shlex.split(re.sub(r"\$+\([^)]*\)|\bNUMBER\b", "1", line).rstrip("'"), comments=True)
        with contextlib.suppress(SystemExit):
            main._parser().parse_args(words)
        said = capsys.readouterr().err
        assert not said or "arguments are required" in said, line


@pytest.mark.parametrize("name", DOCUMENTS)
def test_all_that_a_document_has_made_the_makefile_makes(name: str) -> None:
    made = [found[1] for line in code(name) if (found := re.match(r"(?:[A-Z]+=\S+ )?make ((?:[a-z-]+\b ?)+)", line))]
    there = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert {word for words in made for word in words.split()} - there == set()


def test_every_statement_that_a_document_gives_runs(migrated_sqlite: Path) -> None:
    texts = [(ROOT / name).read_text() for name in DOCUMENTS]
    statements = [found for text in texts for found in re.findall(r"`(SELECT [^`…]+)`", text)]

    assert statements
    with closing(sqlite3.connect(migrated_sqlite)) as database:
        for statement in statements:
            database.execute(statement)


def test_the_house_on_one_page_has_the_rooms_and_their_order_that_make_lint_proves() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    text = (ROOT / "docs" / "architecture.md").read_text().partition("## Who may import whom")[2]
    shown = [set(line.split()) for line in text.split("```")[1].strip().splitlines()]

    assert shown == [set(layer.split(" | ")) for layer in layers if layer != "__main__"][: len(shown)]
    assert shown[-1] == {"settings"}


def test_the_house_on_one_page_says_what_each_room_is_for() -> None:
    rooms = {door.parent.name for door in (ROOT / "webapp").glob("*/__init__.py")}
    text = (ROOT / "docs" / "architecture.md").read_text().partition("## Who may import whom")[0]

    assert rooms - set(re.findall(r"`(\w+)`", text)) == set()


def _defines(module: str, name: str) -> bool:
    files = [*(ROOT / "webapp").rglob(f"{module}.py"), *(ROOT / "webapp" / module).glob("*.py")]
    return any(re.search(rf"^(async )?(def|class) {name}\b", file.read_text(), re.MULTILINE) for file in files)


def test_the_russian_page_of_the_tutorial_has_the_same_commands_and_names_as_the_english_one() -> None:
    english, russian = ((ROOT / "docs" / f"from-the-tutorial{ending}").read_text() for ending in (".md", ".ru.md"))

    assert re.findall(r"^```.*?^```", russian, re.M | re.S) == re.findall(r"^```.*?^```", english, re.M | re.S)
    assert sorted(re.findall(r"`webapp/[^`]+`", russian)) == sorted(re.findall(r"`webapp/[^`]+`", english))
    assert russian.count("\n## ") == english.count("\n## ")
