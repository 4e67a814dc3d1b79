"""`make lighthouse`: what Google's Lighthouse says of the pages, written into docs/lighthouse.md.

It needs Node 18 to 22 and Chromium; npm puts Lighthouse into `.lighthouse`, which is no part of the repository.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Self

from tests.browser.listening import CHROMIUM
from tests.looks.village import Village, village
from webapp.settings import ROOT

VERSION = "12.2.3"  # newer ones want Node 22
FOLDER = ROOT / ".lighthouse"
PROGRAM = FOLDER / "node_modules" / ".bin" / "lighthouse"
PAGE = ROOT / "docs" / "lighthouse.md"
SCORES = ("performance", "accessibility", "best-practices", "seo")
RUNS = 3  # other work on the machine makes a page look slow
FAST_DESKTOP = 1500  # the least index of a machine that is four times as fast as a phone of the middle class
HEAD = """# What Lighthouse says

`make lighthouse` opens each page as a phone on a slow line and as a desktop would, on a site with the demo community,
and writes this page; `python -m tests.looks.lighthouse home post` measures those again and leaves the other rows.
It was Lighthouse {version} with its simulated throttling. Each figure is the median of {runs} runs, since other work on
the machine makes a page look slow. SEO is only asked of what search engines may keep: the others say `noindex`.

Lighthouse takes a phone to be four times as slow as the machine that it runs on, if that is a fast desktop, one that
its own benchmark gives {fast} points or more. For slower ones
[its documentation](https://github.com/GoogleChrome/lighthouse/blob/main/docs/throttling.md#cpu-throttling) asks for
twice as slow. Here it found {index} points, so a phone was {slowdown} times as slow.

| page | device | performance | accessibility | best practices | SEO | requests | KB | largest paint | layout shift |
|---|---|--:|--:|--:|--:|--:|--:|--:|--:|
"""


@dataclass(frozen=True)
class Finding:
    """What one run found."""

    scores: dict[str, int]
    requests: int
    size: int
    paint: float
    shift: float

    @classmethod
    def of(cls, report: dict[str, Any]) -> Self:
        audits = report["audits"]
        scores = {name: round(100 * report["categories"][name]["score"]) for name in SCORES}
        if not audits["is-crawlable"]["score"]:
            del scores["seo"]
        requests = audits["network-requests"]["details"]["items"]
        size = sum(request["transferSize"] for request in requests)
        paint, shift = (
            audits[name]["numericValue"] for name in ("largest-contentful-paint", "cumulative-layout-shift")
        )
        return cls(scores, len(requests), size, paint / 1000, shift)

    @classmethod
    def median(cls, runs: list[Self]) -> Self:
        scores = {name: round(median(run.scores[name] for run in runs)) for name in runs[0].scores}
        figures = ("requests", "size", "paint", "shift")
        return cls(scores, *(median(getattr(run, figure) for run in runs) for figure in figures))

    @property
    def is_full(self) -> bool:
        return set(self.scores.values()) == {100}

    def row(self, page: str, device: str) -> str:
        scores = " | ".join(str(self.scores.get(name, "")) for name in SCORES)
        size = f"{self.size / 1024:.0f}"
        return f"| {page} | {device} | {scores} | {self.requests} | {size} | {self.paint:.1f} s | {self.shift:.3f} |\n"


def main(wanted: list[str]) -> int:
    """Measures all pages, or those that are named, and brings their rows up to date."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not (CHROMIUM and node and npm):
        print("This wants Chromium, Node and npm (apt-get install chromium nodejs npm).", file=sys.stderr)
        return 1
    if not PROGRAM.exists():
        install = [npm, "install", "--prefix", str(FOLDER), "--no-audit", "--no-fund", f"lighthouse@{VERSION}"]
        subprocess.run(install, check=True)
    with village() as place:
        index = _index(place.url)
        slowdown = 4 if index >= FAST_DESKTOP else 2
        head = HEAD.format(version=VERSION, runs=RUNS, fast=f"{FAST_DESKTOP:,}", index=index, slowdown=slowdown)
        findings = [_written(head, *found) for found in _measured(place, wanted, slowdown)]
    return 0 if all(finding.is_full for finding in findings) else 1


def _written(head: str, page: str, device: str, finding: Finding) -> Finding:
    """Puts the new row into the page, in the place of the old one or below all others. What follows the table stays."""
    _before, ruler, rest = PAGE.read_text().partition(HEAD.splitlines(keepends=True)[-1])
    lines = rest.splitlines(keepends=True) if ruler else []
    rows = {_cells(line): line for line in lines if line.startswith("|")}
    row = finding.row(page, device)
    PAGE.write_text(
        head + "".join((rows | {_cells(row): row}).values()) + "".join(line for line in lines if line[0] != "|")
    )
    return finding


def _cells(row: str) -> tuple[str, ...]:
    """Page and device."""
    return tuple(row.split(" | ")[:2])


def _pages(place: Village) -> dict[str, tuple[str, dict[str, str]]]:
    """The pages by name: their path, and the cookies with which they are opened."""
    member = place.cookies()
    return {
        "front door": ("/", {}),
        "log in": ("/login", {}),
        "register": ("/register", {}),
        "forgot": ("/reset_password_request", {}),
        "reset": (place.reset_link(), {}),
        "welcome": (place.registration_link(), {}),
        "explore": ("/explore", {}),
        "profile": (f"/user/{place.neighbour}", {}),
        "post": (place.newest_post(), {}),
        "home": ("/", member),
        "settings": ("/settings", member),
    }


def _index(url: str) -> int:
    """How fast Lighthouse's own benchmark finds this machine."""
    indexes: list[float] = [_report(url, [])["environment"]["benchmarkIndex"] for _number in range(RUNS)]
    return round(median(indexes))


def _measured(place: Village, wanted: list[str], slowdown: int) -> Iterator[tuple[str, str, Finding]]:
    devices = {"phone": [f"--throttling.cpuSlowdownMultiplier={slowdown}"], "desktop": ["--preset=desktop"]}
    pages = {name: how for name, how in _pages(place).items() if not wanted or name in wanted}
    for page, (path, cookies) in pages.items():
        for device, options in devices.items():
            finding = _median(f"{place.url}{path}", [*options, *_with(cookies, place.folder)])
            print(finding.row(page, device), end="", flush=True)
            yield page, device, finding


def _with(cookies: dict[str, str], folder: Path) -> list[str]:
    """How a request is told to carry cookies: by a file, so that they stand in no list of processes."""
    if not cookies:
        return []
    file = folder / "headers.json"
    file.write_text(json.dumps({"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}))
    return [f"--extra-headers={file}"]


def _median(url: str, options: list[str]) -> Finding:
    return Finding.median([Finding.of(_report(url, options)) for _number in range(RUNS)])


def _report(url: str, options: list[str], *, tries: int = 3) -> dict[str, Any]:
    """Again if the browser itself has fallen over, which says why."""
    command = [str(PROGRAM), url, "--quiet", "--output=json", f"--only-categories={','.join(SCORES)}"]
    flags = ["--throttling-method=simulate", "--chrome-flags=--headless=new --no-sandbox"]
    try:
        return dict(json.loads(_said([*command, *flags, *options])))
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        print(f"{error}\n{(error.stderr or b'').decode()[-2000:]}", file=sys.stderr)
        if tries == 1:
            raise
    return _report(url, options, tries=tries - 1)


def _said(command: list[str], *, patience: float = 120) -> bytes:
    """What Lighthouse writes. One that hangs is interrupted, not killed: else its browser would live on, and be busy
    beside the next run.
    """
    variables = os.environ | {"CHROME_PATH": str(CHROMIUM)}
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        try:
            output, errors = program.communicate(timeout=patience)
        except subprocess.TimeoutExpired as late:
            program.send_signal(signal.SIGINT)
            try:
                _output, late.stderr = program.communicate(timeout=20)
            finally:
                program.kill()
            raise
    if program.returncode:
        raise subprocess.CalledProcessError(program.returncode, command[:2], stderr=errors)
    return output


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
