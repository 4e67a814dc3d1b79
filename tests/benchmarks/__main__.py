"""`python -m tests.benchmarks`, or `make bench`: measures, prints each line as soon as it is known, saves nothing.

    python -m tests.benchmarks [pages] [emails] [durability] [distance]

Fails if a mark is missed. Each part has its time; the whole takes fourteen minutes at most. `tests.benchmarks.growth`
takes longer, and disk, and is asked for by itself; `tests.benchmarks.beside` puts any other server beside.
"""

import multiprocessing
import signal
import sys

from tests.benchmarks import account_pages, distance, durability, emails

# And the most seconds that each may take.
PARTS = {
    "pages": (account_pages.measure, 320),
    "emails": (emails.measure, 190),
    "durability": (durability.measure, 70),
    "distance": (distance.measure, 220),
}


def main() -> int:
    signal.signal(signal.SIGALRM, _give_up)
    has_missed = False
    for name in sys.argv[1:] or PARTS:
        measure, seconds = PARTS[name]
        print(f"\n{name}, {seconds} s at most", flush=True)
        signal.alarm(seconds)
        try:
            report = measure()
            print(report, flush=True)
            has_missed |= not report.is_met
        except Exception as error:
            print(f"{name} ended early: {type(error).__name__}: {error}", flush=True)
            has_missed = True
        signal.alarm(0)
    return int(has_missed)


def _give_up(_signal: int, _frame: object) -> None:
    for process in multiprocessing.active_children():
        process.kill()  # or their work would be waited for
    raise TimeoutError("the machine is too busy for it")


if __name__ == "__main__":
    sys.exit(main())
