"""`python -m tests.benchmarks`, or `make bench`: measures, prints, saves nothing. Fails if a reach is missed."""

import signal
import sys

from tests.benchmarks import account_pages, emails

MOST_SECONDS = 1200


def main() -> int:
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(MOST_SECONDS)
    reports = []
    for measure in (account_pages.measure, emails.measure):
        reports.append(measure())
        print(reports[-1], flush=True)
    return 0 if all(report.is_met for report in reports) else 1


def _give_up(_signal: int, _frame: object) -> None:
    raise TimeoutError(f"not done after {MOST_SECONDS} s")


if __name__ == "__main__":
    sys.exit(main())
