"""Serves a deployed site: `python -m webapp.server`, with options named like uvicorn's.

uvicorn starts each of several workers anew, and each imports and makes the whole site. These are forked when that is
done, so they share it: a start takes half of the processor's time, and two workers a quarter less memory.
"""

import argparse
import contextlib
import gc
import importlib
import io
import logging
import multiprocessing
import os
import re
import signal
import socket
import sys
import threading
import time
from functools import partial
from multiprocessing.context import ForkProcess

import uvicorn

from webapp import logs
from webapp.app import STARTUP_FAILURE, deployed_settings
from webapp.settings import Settings
from webapp.web.protocol import BoundedProtocol

log = logging.getLogger("webapp.server")

EACH_LOADS = ("uvicorn.lifespan.on", "uvloop")  # when it begins to serve; so it is loaded for all of them
STOP = {signal.SIGTERM, signal.SIGINT}
SIGNALS = {*STOP, signal.SIGCHLD}
MOST_WORKERS = 256  # as WEB_CONCURRENCY
PAUSE = 1.0  # seconds until a worker that has died is replaced


def main(arguments: list[str] | None = None) -> int:
    settings = deployed_settings()  # what is wrong with them is said once, not by each worker
    options = _parser(settings).parse_args(arguments)
    _let_a_full_log_stop_nothing()
    logs.configure(settings)
    config = uvicorn.Config(
        options.factory,
        factory=True,
        host=options.host,
        port=options.port,
        http=BoundedProtocol,
        log_config=None,
        log_level="info",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=15,
    )
    listener = config.bind_socket()
    if options.workers > 1:
        return _supervise(config, listener, options.workers)
    _serve(config, listener)
    return 0


def _let_a_full_log_stop_nothing() -> None:
    """Keeps no line back: one that can't be written would be tried again, and fail, whenever a worker is forked."""
    if sys.stderr is not None:
        unbuffered = io.FileIO(sys.stderr.fileno(), "w", closefd=False)
        sys.stderr = io.TextIOWrapper(unbuffered, errors="backslashreplace", write_through=True)


def _parser(settings: Settings) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m webapp.server")
    parser.add_argument("factory", nargs="?", default="webapp.app:create_app")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=partial(_number, 0, 65_535), default=settings.port)
    parser.add_argument("--workers", type=partial(_number, 1, MOST_WORKERS), default=settings.web_concurrency)
    return parser


def _number(low: int, high: int, said: str) -> int:
    if re.fullmatch("[0-9]{1,9}", said) and low <= int(said) <= high:
        return int(said)
    raise argparse.ArgumentTypeError(f"must be a whole number from {low} to {high}")


def _serve(config: uvicorn.Config, listener: socket.socket) -> None:
    with contextlib.suppress(KeyboardInterrupt):  # which uvicorn raises once all is done
        uvicorn.Server(config).run([listener])


def _supervise(config: uvicorn.Config, listener: socket.socket, count: int) -> int:
    """Keeps so many workers until it is told to stop, or one says that the site can't start. Returns the exit code."""
    config.load()
    for name in EACH_LOADS:
        importlib.import_module(name)
    gc.freeze()  # else the garbage collector would write to all that is shared
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    workers = [_started(config, listener) for _number in range(count)]
    while signal.sigwait(SIGNALS) == signal.SIGCHLD:
        ended = [worker for worker in workers if not worker.is_alive()]
        for worker in ended:
            log.error("worker_ended", extra={"fields": {"process": worker.pid, "exit_code": worker.exitcode}})
        if any(worker.exitcode == STARTUP_FAILURE for worker in ended):
            return _stop(workers, STARTUP_FAILURE)
        if ended:
            time.sleep(PAUSE)
        if STOP & signal.sigpending():  # sigtimedwait() may return nonsense once it was stopped and continued
            break
        workers = [_started(config, listener) if worker in ended else worker for worker in workers]
    return _stop(workers, 0)


def _stop(workers: list[ForkProcess], code: int) -> int:
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join()
    return code


def _started(config: uvicorn.Config, listener: socket.socket) -> ForkProcess:
    worker = multiprocessing.get_context("fork").Process(target=_work, args=[config, listener])
    worker.start()
    return worker


def _work(config: uvicorn.Config, listener: socket.socket) -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    threading.Thread(target=_leave_with_supervisor, daemon=True).start()
    _serve(config, listener)


def _leave_with_supervisor() -> None:
    """Ends a worker whose supervisor is gone, which nobody could stop or replace."""
    supervisor = multiprocessing.parent_process()
    assert supervisor
    supervisor.join()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
