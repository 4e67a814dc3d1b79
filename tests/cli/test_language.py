"""The command line speaks to people in their language; what programs read stays as it is."""

import re

import pytest

from webapp.cli import main

COMMANDS = [
    "dev",
    "demo",
    "invite",
    "reset-link",
    "import-users",
    "users",
    "users show",
    "posts remove",
    "mail",
    "backup",
]
RUSSIAN = re.compile("[а-яё]")


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG", "LANGUAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")


def help_of(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    with pytest.raises(SystemExit):
        main.main([*command, "--help"])
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("environment", "is_russian"),
    [
        ({}, False),
        ({"LANG": "ru_RU.UTF-8"}, True),
        ({"LANG": "C.UTF-8", "LANGUAGES": "ru,en"}, True),
        ({"LANG": "de_DE.UTF-8", "LANGUAGES": "ru,en"}, True),
        ({"LANG": "en_GB.UTF-8", "LANGUAGES": "ru,en"}, False),
        ({"LANG": "en_GB.UTF-8", "LC_ALL": "ru_RU"}, True),
        ({"LANG": "ru_RU", "LANGUAGE": "de:en:ru"}, False),
    ],
)
def test_it_speaks_as_the_terminal_asks_and_else_as_the_site_does(
    environment: dict[str, str], is_russian: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert bool(RUSSIAN.search(help_of(capsys))) is is_russian


@pytest.mark.parametrize("command", COMMANDS)
def test_every_line_of_help_is_translated(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LANG", "ru_RU.UTF-8")

    explained = re.findall(r"^  \S.*?  +(.+)$", help_of(capsys, *command.split()), re.MULTILINE)

    assert explained
    assert [line for line in explained if not RUSSIAN.search(line)] == []


def test_a_mistake_is_told_in_the_same_language(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LANG", "ru_RU.UTF-8")

    with pytest.raises(SystemExit):
        main.main(["dev", "--port", "0"])

    told = capsys.readouterr().err
    assert "ошибка: аргумент --port: порт — это число от 1 до 65535" in told
