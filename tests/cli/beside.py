"""A visitor who writes to the site while a command works on its database."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager


@contextmanager
def writing_visitor(sqlite_url: str) -> Iterator[Callable[[], float]]:
    """They write all the time; yields what says how much of the time so far their longest wait took."""
    waits, began, over = [0.0], time.perf_counter(), threading.Event()

    def visit() -> None:
        while not over.is_set():
            with closing(sqlite3.connect(sqlite_url.partition(":///")[2], timeout=60, isolation_level=None)) as visitor:
                asked = time.perf_counter()
                visitor.execute("BEGIN IMMEDIATE")
                visitor.execute("ROLLBACK")
                waits.append(time.perf_counter() - asked)
            time.sleep(0.02)

    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        yield lambda: max(waits) / (time.perf_counter() - began)
    finally:
        over.set()
        visitor.join()
