"""The house itself: its paths, its Procfile, its pins, and that no file tells where it was made."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from starlette.routing import Mount, Route

from webapp.mail.kinds import KINDS
from webapp.routes import routes
from webapp.settings import ROOT, Settings

SETTINGS = Settings(base_url="https://blog.example", secret_key="x", database_url="sqlite+aiosqlite://")
# DESIGN.md's paths and forms, as far as they are built.
PATHS = {
    "/": {"GET", "POST"},
    "/explore": {"GET"},
    "/user/{username}": {"GET"},
    "/login": {"GET", "POST"},
    "/logout": {"POST"},
    "/register": {"GET", "POST"},
    "/register/{token}": {"GET", "POST"},
    "/reset_password_request": {"GET", "POST"},
    "/reset_password/{token}": {"GET", "POST"},
    "/edit_profile": {"GET", "POST"},
    "/change_password": {"GET", "POST"},
    "/sessions": {"GET"},
    "/change_email": {"GET", "POST"},
    "/follow/{username}": {"POST"},
    "/unfollow/{username}": {"POST"},
    "/.well-known/change-password": {"GET"},
    "/.well-known/security.txt": {"GET"},
    "/health": {"GET"},
    "/ready": {"GET"},
}
# The only room with more modules than eight: the toolkit of everything that a request goes through.
MANY_MODULES = {"web"}
MIGRATIONS = ROOT / "webapp" / "database" / "migrations"  # they only ever grow
REQUIREMENTS = ["requirements.txt", "requirements-dev.txt"]


def files() -> list[Path]:
    """Every file that is part of the repository, or would be."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:  # a copy without git
        return [file for file in ROOT.rglob("*") if file.is_file() and not {".venv", "instance"} & set(file.parts)]
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.mark.parametrize(("path", "methods"), PATHS.items())
def test_the_promised_paths_are_there(path: str, methods: set[str]) -> None:
    found = {route.path: set(route.methods or ()) - {"HEAD"} for route in routes(SETTINGS) if isinstance(route, Route)}

    assert found.get(path) == methods


def test_view_and_route_share_a_name() -> None:
    named = [(route.name, route.endpoint.__name__) for route in routes(SETTINGS) if isinstance(route, Route)]

    assert [pair for pair in named if pair[0] != pair[1]] == []
    assert any(isinstance(route, Mount) and route.path == "/static" for route in routes(SETTINGS))


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"general", "alarm"}))  # these two have no templates
@pytest.mark.parametrize("suffix", ["txt", "html"])
def test_every_kind_of_email_has_its_templates(kind: str, suffix: str) -> None:
    assert (ROOT / "templates" / "email" / f"{kind}.{suffix}").is_file()


def test_the_procfile_says_how_the_site_runs() -> None:
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines() if line)

    assert lines.keys() == {"release", "web", "mailer"}
    assert lines["release"] == "python -m webapp migrate"
    assert lines["mailer"] == "python -m webapp mailer"
    assert lines["web"].startswith("python -m webapp.server --host 0.0.0.0 --port ")
    assert "--workers" not in lines["web"], "WEB_CONCURRENCY decides"


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_pins_name_exact_versions_with_hashes_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    pins = re.findall(r"^[a-z0-9][a-z0-9._-]*(?:\[[a-z,]+\])?==\S+.*\\$", text, re.MULTILINE)
    pinned = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)

    assert "://" not in text
    assert "--index-url" not in text
    assert len(pins) >= 20
    assert [entry.splitlines()[0] for entry in pinned if "==" in entry and "--hash=sha256:" not in entry] == []


def test_pins_agree_with_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = {_name(line) for line in project["project"]["dependencies"]}
    wanted_for_tests = wanted | {_name(line) for line in project["dependency-groups"]["dev"]}
    run, test = (_pinned(ROOT / name) for name in REQUIREMENTS)

    assert wanted <= run.keys()
    assert wanted_for_tests <= test.keys()
    assert {name: version for name, version in run.items() if test.get(name) != version} == {}
    assert run.keys().isdisjoint({"pytest", "mypy", "ruff", "playwright"})


def _name(requirement: str) -> str:
    return re.match(r"[A-Za-z0-9._-]+", requirement).group().lower().replace("_", "-")  # type: ignore[union-attr]


def _pinned(file: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)(?:\[[a-z,]+\])?==(\S+)", file.read_text(), re.MULTILINE))


def test_no_file_tells_where_it_was_made() -> None:
    machine = re.compile(rb"/(?:work|home/\w+|Users/\w+)/|" + re.escape(str(ROOT).encode()) + rb"(?![\w-])")

    telling = [str(file.relative_to(ROOT)) for file in files() if machine.search(file.read_bytes())]

    assert [name for name in telling if name != "tests/test_house.py"] == []


@pytest.mark.parametrize(
    "name",
    ["README.md", "LICENSE", "CHANGELOG.md", "Makefile", "Procfile", ".python-version", ".ci/run", "pyproject.toml"],
)
def test_the_files_of_every_project_are_there(name: str) -> None:
    assert (ROOT / name).stat().st_size > 3


def test_no_lock_file_stands_beside_the_pins() -> None:
    names = {file.name for file in files()}

    assert names.isdisjoint({"uv.lock", "pylock.toml", "poetry.lock", "Pipfile.lock"})


def test_every_test_in_a_browser_says_so() -> None:
    """One that doesn't runs among the others, and leaves its process with an event loop that none of them can use."""
    files = sorted((ROOT / "tests" / "browser").glob("test_*.py"))

    assert len(files) > 10
    assert [file.name for file in files if "pytest.mark.browser" not in file.read_text()] == []


def test_a_page_is_in_the_folder_of_the_room_that_shows_it() -> None:
    """What several rooms show has an underscore before its name, or is in the folder of one of them."""
    pages = [page for page in (ROOT / "templates").glob("*/*.html") if not page.name.startswith("_")]
    names = [page.relative_to(ROOT / "templates") for page in pages if page.parent.name != "email"]
    views = {room: (ROOT / "webapp" / room / "views.py") for room in {name.parent for name in names}}

    assert len(names) > 50
    assert [str(room) for room, view in views.items() if not view.is_file()] == []
    assert [name.as_posix() for name in names if f'"{name.as_posix()}"' not in _source_of(name.parent.name)] == []


def _source_of(room: str) -> str:
    return "".join(file.read_text() for file in (ROOT / "webapp" / room).glob("*.py"))


def test_no_module_is_longer_than_a_few_screens() -> None:
    """A longer one holds two things: give the second a module, or a room, with a name of its own."""
    lengths = {file: len(file.read_text().splitlines()) for file in modules()}

    assert len(lengths) > 200
    assert {file.relative_to(ROOT).as_posix(): lines for file, lines in lengths.items() if lines > 250} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    functions = {
        f"{file.relative_to(ROOT).as_posix()}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for file in modules()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }

    assert len(functions) > 1000
    assert {name: lines for name, lines in functions.items() if lines > 45} == {}


def test_a_room_has_eight_modules_at_most_and_a_sentence_over_its_door() -> None:
    rooms = {file.parent for file in modules()} - {ROOT / "webapp"}
    counts = {room.name: len([file for file in room.glob("*.py") if file.name != "__init__.py"]) for room in rooms}
    doors = {room.name: ast.get_docstring(ast.parse((room / "__init__.py").read_text())) for room in rooms}

    assert {room: count for room, count in counts.items() if count > 8 and room not in MANY_MODULES} == {}
    assert [room for room, sentence in doors.items() if not sentence] == []


def test_one_module_alone_signs_what_comes_back() -> None:
    """itsdangerous refuses what a machine has signed whose clock is a second ahead; `webapp.signing` doesn't."""
    makers = re.compile(r"\b(TimestampSigner|URLSafeTimedSerializer|TimedSerializer)\(")

    assert [file.name for file in modules() if makers.search(file.read_text())] == ["signing.py"]


def test_one_module_alone_asks_the_machine_what_time_it_is() -> None:
    """All others ask `webapp.clock`, which goes by the clock that the site's machines share."""
    asked = re.compile(r"\btime\.time(_ns)?\(|\bdatetime\.(now|utcnow|today)\(|\bdate\.today\(")

    assert {file.name for file in modules() if asked.search(file.read_text())} == {"clock.py"}


def test_no_test_remembers_what_time_it_was_when_its_module_was_read() -> None:
    """That may be an hour ago when its turn comes. `tests.moments` has a moment that is still to come."""
    remembered = re.compile(r"^\w+(: \w+)? = .*\b(time\.time|datetime\.now)\(", re.MULTILINE)
    crowds = "crowds.py"  # people for the benchmarks, who are all older than whoever reads their posts

    found = {file.name for file in (ROOT / "tests").rglob("*.py") if remembered.search(file.read_text())}

    assert found == {"moments.py", crowds}


def modules() -> list[Path]:
    return [file for file in sorted((ROOT / "webapp").rglob("*.py")) if MIGRATIONS not in file.parents]
