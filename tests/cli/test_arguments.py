"""Whatever is typed behind a command, it does what was asked, or says in words why not."""

import argparse
import io
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.depth import deep, one_in
from tests.processes import PYTHON
from webapp.cli import main
from webapp.settings import ROOT

RUNNING = {"dev", "mailer", "shell", "demo"}  # they run on, or take nothing
ODD = ["\udcff", "9" * 30, "-1", "a\nb%s"]


def lines(parser: argparse.ArgumentParser, *before: str) -> Iterator[list[str]]:
    """Each command with as many question marks as it takes arguments, and what else it wants."""
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for action in inner:
        for word, below in action.choices.items():
            yield from lines(below, *before, word)
    if not inner:
        wanted = [action for action in parser._actions if action.required or not action.option_strings]
        options = [word for action in wanted if action.option_strings for word in (action.option_strings[-1], "?")]
        yield [*before, *options, *("?" for action in wanted if not action.option_strings)]


LINES = [line for line in lines(main._parser()) if line[0] not in RUNNING and "?" in line]


@deep
@pytest.mark.parametrize("line", LINES, ids=" ".join)
@one_in(3)
def test_an_odd_argument_ends_no_command_with_a_trace(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # where some of them are the name of a new file
    for odd in ODD:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"Subject: Hello\n\nHello!\n")))
        ended = run(*(odd if word == "?" else word for word in line))
        assert ended.code in {0, 1, 2}, odd
        assert ended.out or ended.err, odd
        assert "invalid" not in ended.err, "the name of a type of Python's"
        assert ended.code or odd != "\udcff"


@deep
@pytest.mark.parametrize("command", ["bounce", "shell"])
@pytest.mark.usefixtures("environment")
def test_a_command_without_standard_input_reads_nothing(command: str) -> None:
    ended = subprocess.run(
        f"{PYTHON} -m webapp {command} <&-", shell=True, cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 0
    assert "Traceback" not in ended.stderr
