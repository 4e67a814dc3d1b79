"""The systemd units of docs/deploy/: what systemd itself says of them, and that they run what the Procfile runs."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.neighbours.neighbours import program
from tests.processes import PYTHON
from webapp.settings import ROOT

DEPLOY = ROOT / "docs" / "deploy"
UNITS = ["microblog.service", "microblog-mailer.service"]
TO_COPY = r"^cat > /etc/systemd/system/(\S+) <<'END'\n(.*?)^END$"
COPIED = dict(re.findall(TO_COPY, (ROOT / "docs" / "backup.md").read_text(), re.MULTILINE | re.DOTALL))


def lines(unit: str) -> list[str]:
    return (DEPLOY / unit).read_text().splitlines()


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units in a folder, with programs that are there."""
    for unit in UNITS:
        text = (DEPLOY / unit).read_text()
        assert "/opt/microblog/.venv/bin/" in text
        (tmp_path / unit).write_text(text.replace("/opt/microblog/.venv/bin", str(Path(PYTHON).parent)))
    for unit, text in COPIED.items():
        (tmp_path / unit).write_text(text)
    return tmp_path


@pytest.mark.neighbours
@pytest.mark.parametrize("unit", [*UNITS, *COPIED])
def test_systemd_finds_no_fault_in_a_unit(installed: Path, unit: str) -> None:
    command = [program("systemd-analyze"), "verify", "--man=no", str(installed / unit)]

    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert (found.returncode, [line for line in found.stderr.splitlines() if unit in line]) == (0, [])


@pytest.mark.neighbours
@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_may_do_little_more_than_it_must(installed: Path, unit: str) -> None:
    """In tenths of systemd's own measure, in which 100 is a service that may do everything."""
    command = [program("systemd-analyze"), "security", "--offline=true", "--threshold=15", str(installed / unit)]

    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert found.returncode == 0, found.stdout[-500:] + found.stderr


def test_the_units_run_what_the_procfile_runs() -> None:
    procfile = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines() if line)
    [web] = [line for line in lines(UNITS[0]) if line.startswith("ExecStart=")]
    [migrate] = [line for line in lines(UNITS[0]) if line.startswith("ExecStartPre=")]
    [mailer] = [line for line in lines(UNITS[1]) if line.startswith("ExecStart=")]
    ours = procfile["web"].replace("0.0.0.0", "127.0.0.1").replace("${PORT:-8000}", "8000")  # behind a proxy of its own

    assert web == f"ExecStart=/opt/microblog/.venv/bin/{ours}"
    assert migrate == f"ExecStartPre=/opt/microblog/.venv/bin/{procfile['release']}"
    assert mailer == f"ExecStart=/opt/microblog/.venv/bin/{procfile['mailer']}"


def test_both_units_are_kept_alike() -> None:
    site, mailer = ([line for line in lines(unit) if "=" in line and not line.startswith("#")] for unit in UNITS)
    differing = ("Description=", "After=", "ExecStart")

    assert [line for line in site if not line.startswith(differing)] == [
        line for line in mailer if not line.startswith(differing)
    ]


def test_the_container_runs_what_the_procfile_runs() -> None:
    [web] = [line for line in (ROOT / "Procfile").read_text().splitlines() if line.startswith("web: ")]
    command = web.removeprefix("web: ").replace("${PORT:-8000}", "$PORT")

    assert f'CMD ["/bin/sh", "-c", "exec {command}"]' in (DEPLOY / "Containerfile").read_text()
