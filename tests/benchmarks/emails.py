"""Emails per second through the whole path (claim, write, SMTP, finish), beside two other ways to the same server.

*Bare* is aiosmtplib sending one prepared message over the same number of open connections: no outbox, no templates.
*Thread* is the tutorial's way: each email is written with the same templates and EmailMessage, and then sent by a
thread of its own over a connection of its own; also with no outbox, so that it is lost when its process ends.
"""

import asyncio
import multiprocessing
import smtplib
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiosmtplib
import psutil  # type: ignore[import-untyped]
import uvloop
from sqlalchemy import insert

import webapp.app  # noqa: F401  (registers the emails)
from tests.benchmarks.mailsink import MailSink, mail_sink
from tests.benchmarks.report import Reach, Report
from webapp import app
from webapp.database import Database, migrations, now
from webapp.mail import outbox
from webapp.settings import Settings
from webapp.web import templating

CONNECTIONS = 4
ROUNDS = 3
# How many emails a round sends, for each delay of the mail server in seconds.
EMAILS = {0.0: 1500, 0.005: 600, 0.05: 120}
THREAD_EMAILS = {0.0: 300, 0.005: 100, 0.05: 40}
BACKLOGS = (1_000, 100_000)
DRAINED = 1_000
BURST = 5_000
MESSAGE = (
    b"From: a@blog.example\r\nTo: b@example.com\r\nSubject: S\r\n\r\n" + b"A line of an email of usual length.\r\n" * 80
)


def measure() -> Report:
    report = Report(("emails a second", "delay", "ours", "bare", "thread", "ours / bare", "ours / thread"))
    with tempfile.TemporaryDirectory() as folder, mail_sink() as sink, _one_process() as process:
        for delay, count in EMAILS.items():
            sink.answer_after(delay)
            ours, bare, thread = _rates(process, Path(folder), sink, count, THREAD_EMAILS[delay])
            row = (f"{1000 * delay:.0f} ms", f"{ours:.0f}", f"{bare:.0f}", f"{thread:.0f}")
            report.add("", *row, f"{ours / bare:.2f}", f"{ours / thread:.1f}")
            if delay == 0.05:
                report.reach(Reach("ours beside bare at 50 ms", ours / bare, "of it", at_least=0.8))
            if delay == 0:
                report.reach(Reach("ours beside thread at 0 ms", ours / thread, "times", at_least=3))
        sink.answer_after(0)
        _measure_backlogs(report, Path(folder), sink)
    return report


def _rates(
    process: ProcessPoolExecutor, folder: Path, sink: MailSink, count: int, thread_count: int
) -> tuple[float, float, float]:
    """The median rates of the three ways, measured in turns, in a process that only does that."""
    rounds = [
        (
            process.submit(_ours, str(folder / f"{number}-{count}.db"), sink.port, count, count).result()[0],
            process.submit(_bare, sink.port, count).result(),
            process.submit(_thread, sink.port, thread_count).result(),
        )
        for number in range(ROUNDS)
    ]
    ours, bare, thread = (statistics.median(figures) for figures in zip(*rounds, strict=True))
    return ours, bare, thread


def _measure_backlogs(report: Report, folder: Path, sink: MailSink) -> None:
    """Whether it matters how many emails wait, in speed and in memory."""
    rates = [
        _alone(_ours, str(folder / f"backlog-{backlog}.db"), sink.port, backlog, DRAINED)[0] for backlog in BACKLOGS
    ]
    _rate, idle, burst = _alone(_ours, str(folder / "burst.db"), sink.port, BURST, BURST)
    report.note(
        f"{rates[0]:.0f} emails a second with {BACKLOGS[0]:,} waiting, {rates[1]:.0f} with {BACKLOGS[1]:,};"
        f" a mailer holds {idle:.0f} MB idle, {burst:.0f} MB at most while {BURST:,} emails leave."
    )
    report.reach(Reach("speed with 100 times the backlog", rates[1] / rates[0], "of it", at_least=0.8))
    report.reach(Reach("memory of a burst above idle", burst - idle, "MB", at_most=20))


def _alone(work: Callable[..., Any], *arguments: object) -> Any:
    """Runs a measurement in a fresh process, whose memory counts; its result comes back through a pipe."""
    with _one_process() as process:
        return process.submit(work, *arguments).result()


def _one_process() -> ProcessPoolExecutor:
    """Unlike a `Pool`, it says so when its process dies, instead of starting one after another for ever."""
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))


def _ours(file: str, port: int, waiting: int, count: int) -> tuple[float, float, float]:
    """The rate at which `count` of the waiting emails leave, and the process's megabytes idle and at most."""
    url = f"sqlite+aiosqlite:///{file}"
    migrations.upgrade(url)
    return uvloop.run(_drain(_settings(url, port), waiting, count))


def _settings(url: str, port: int) -> Settings:
    return Settings(
        base_url="https://blog.example",
        secret_key="k" * 40,
        database_url=url,
        mail_server="127.0.0.1",
        mail_port=port,
        mail_connections=CONNECTIONS,
        mail_hourly_budget=0,
    )


async def _drain(settings: Settings, waiting: int, count: int) -> tuple[float, float, float]:
    database = Database(settings.database_url)
    mailer = app.mailer(settings, database, templating.environment(settings))
    await _post(database, 1)
    run = asyncio.create_task(mailer.run())
    while await _left(database) < 1:  # then connections are open and templates compiled
        await asyncio.sleep(0.01)
    idle = most = _megabytes()
    await _post(database, waiting)
    started = time.perf_counter()
    database.wake.set()
    while await _left(database) < 1 + count:
        most = max(most, _megabytes())
        await asyncio.sleep(0.05)
    seconds = time.perf_counter() - started
    await mailer.stop()
    await run
    await database.aclose()
    return count / seconds, idle, most


async def _post(database: Database, count: int) -> None:
    """Emails to addresses without an account, as registrations make them; in bulk, for it is not what is measured."""
    moment = now()
    rows = [
        {
            "kind": "register",
            "recipient": f"person{number}@example.com",
            "parameters": {},
            "language": "en",
            "message_id": outbox.new_message_id("blog.example"),
            "priority": 0,
            "state": "ready",
            "created_at": moment,
            "due_at": moment,
            "expires_at": moment + timedelta(hours=1),
            "attempts": 0,
            "crashes": 0,
            "fence": 0,
        }
        for number in range(count)
    ]
    async with database.session(is_writing=True) as db:
        connection = await db.connection()
        for start in range(0, count, 5_000):
            await connection.execute(insert(outbox.emails), rows[start : start + 5_000])
        await db.commit()


async def _left(database: Database) -> int:
    async with database.session() as db:
        connection = await db.connection()
        result = await connection.exec_driver_sql("SELECT count(*) FROM outbox_email WHERE finished_at IS NOT NULL")
        return int(result.scalar_one())


def _megabytes() -> float:
    return float(psutil.Process().memory_info().rss) / 2**20


def _bare(port: int, count: int) -> float:
    async def send(share: int) -> None:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False) as client:
            for _number in range(share):
                await client.sendmail("a@blog.example", ["b@example.com"], MESSAGE)

    async def send_all() -> None:
        await asyncio.gather(*(send(count // CONNECTIONS) for _ in range(CONNECTIONS)))

    started = time.perf_counter()
    uvloop.run(send_all())
    return count / (time.perf_counter() - started)


def _thread(port: int, count: int) -> float:
    templates = templating.environment(_settings("sqlite+aiosqlite:///unused.db", port))
    values = {"link": f"https://blog.example/register/{'x' * 200}", "minutes": 1440, "language": "en", "subject": "S"}
    values |= {"code": "1234 5678", "preheader": "Your registration", "links": [], "repeats": None}

    places = threading.Semaphore(CONNECTIONS)

    def send(message: EmailMessage) -> None:
        with places, smtplib.SMTP("127.0.0.1", port, "localhost") as client:  # or it asks the DNS for this machine
            client.send_message(message)

    threads = []
    started = time.perf_counter()
    for number in range(count):
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "a@blog.example", f"p{number}@example.com", "Register"
        message.set_content(templates.get_template("email/register.txt").render(values))
        message.add_alternative(templates.get_template("email/register.html").render(values), subtype="html")
        threads.append(threading.Thread(target=send, args=(message,)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return count / (time.perf_counter() - started)
