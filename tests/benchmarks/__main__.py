"""`python -m tests.benchmarks`, or `make bench`: measures, prints, saves nothing. Fails if a reach is missed."""

import signal
import sys

from tests.benchmarks import account_pages, emails

PARTS = ((account_pages.measure, 900), (emails.measure, 600))  # and the most seconds that each may take


def main() -> int:
    signal.signal(signal.SIGALRM, _give_up)
    has_missed = False
    for measure, seconds in PARTS:
        signal.alarm(seconds)
        try:
            report = measure()
            print(report, flush=True)
            has_missed |= not report.is_met
        except TimeoutError as late:
            print(f"{measure.__module__} was given up after {seconds} s: {late}", flush=True)
            has_missed = True
    signal.alarm(0)
    return int(has_missed)


def _give_up(_signal: int, _frame: object) -> None:
    raise TimeoutError("the machine is too busy for it")


if __name__ == "__main__":
    sys.exit(main())
