"""Asks any page of any server on this machine as the pages of the site are asked, to put its figures beside theirs.

    python -m tests.benchmarks.beside 5000 /auth/login
    python -m tests.benchmarks.beside 5000 / --header "cookie: session=..."
    python -m tests.benchmarks.beside 5000 /auth/login --form "username=susan&password=..."
    python -m tests.benchmarks.beside 5000 /auth/reset_request --form "email=personNUMBER%40example.com"

prints answers a second and how long they took, for 32 kept connections, as `make bench` counts them.
"""

import argparse
import statistics
import sys
from functools import partial

from tests.benchmarks import load
from tests.benchmarks.account_pages import ROUNDS, SECONDS


def request(path: str, headers: list[str], form: str | None, number: int) -> bytes:
    if form is not None:
        form = form.replace("NUMBER", str(number))
        headers = [*headers, "content-type: application/x-www-form-urlencoded", f"content-length: {len(form.encode())}"]
    method = "GET" if form is None else "POST"
    return "\r\n".join([f"{method} {path} HTTP/1.1", "accept-language: en", *headers, "", form or ""]).encode()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.beside")
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("--header", action="append", default=[])
    parser.add_argument("--form", help="sends this, as a browser encodes it; NUMBER becomes another number each time")
    options = parser.parse_args()
    write = partial(request, options.path, [f"host: 127.0.0.1:{options.port}", *options.header], options.form)
    rounds: list[load.Figures] = []
    for _round in range(ROUNDS):
        first = sum(one.answers + load.CONNECTIONS for one in rounds)
        rounds.append(load.run(options.port, write, first, SECONDS))
    statuses = {status for figures in rounds for status in figures.statuses}
    rate, p50, p99 = (statistics.median(getattr(one, name) for one in rounds) for name in ("rate", "p50", "p99"))
    print(f"{rate:.0f} answers a second, p50 {p50:.2f} ms, p99 {p99:.2f} ms; statuses: {sorted(statuses)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
