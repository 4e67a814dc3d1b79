"""`python -m tests.benchmarks`, or `make bench`: measures, prints, saves nothing. Fails if a reach is missed."""

import signal
import sys

from tests.benchmarks import account_pages

MOST_SECONDS = 300


def main() -> int:
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(MOST_SECONDS)
    report = account_pages.measure()
    print(report)
    return 0 if report.is_met else 1


def _give_up(_signal: int, _frame: object) -> None:
    raise TimeoutError(f"not done after {MOST_SECONDS} s")


if __name__ == "__main__":
    sys.exit(main())
