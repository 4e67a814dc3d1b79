"""Figures for a monitor, in Prometheus' text format: https://prometheus.io/docs/instrumenting/exposition_formats/.

The mail's figures are the whole site's. The others belong to the process that happens to answer, and name it.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.database import execute, now, recent
from webapp.database.waits import Waits
from webapp.mail import status
from webapp.mail.outbox import emails
from webapp.mail.status import Status
from webapp.web.request_log import Requests

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FEW = 10  # the fewest emails that show: one person's email must never change a figure
LATELY = timedelta(hours=24)

Labels = Mapping[str, object]
Sample = tuple[Labels, float]


@dataclass(frozen=True)
class Process:
    """What a process knows about itself."""

    requests: Requests
    hashes: int
    waits: Waits


async def text(db: AsyncSession, process: Process) -> str:
    """All figures. The mail's are rounded, so that nobody can learn of a single person's email from them."""
    mail = await status.read(db)
    finished = await _finished(db)
    lines = [*_of_process(process), *_of_mail(mail, finished)]
    return "".join(f"{line}\n" for line in lines)


def _of_process(process: Process) -> Iterator[str]:
    pid = {"process": os.getpid()}
    answered = [
        ({"route": route, "method": method, "status": code, **pid}, count)
        for (route, method, code), count in sorted(process.requests.counts.items())
    ]
    waits = process.waits
    yield from _family("requests_total", "counter", "Answers, by route and status.", answered)
    yield from _family("request_seconds_total", "counter", "Time spent on them.", [(pid, process.requests.seconds)])
    yield from _family("hashes_in_hand", "gauge", "Passwords being hashed or waiting for it.", [(pid, process.hashes)])
    yield from _family("database_connections_total", "counter", "Connections asked for.", [(pid, waits.count)])
    yield from _family("database_wait_seconds_total", "counter", "Time spent waiting for them.", [(pid, waits.seconds)])
    yield from _family("database_waiting", "gauge", "Who waits for one at this moment.", [(pid, waits.waiting)])


def _of_mail(mail: Status, finished: Iterable[Sample]) -> Iterator[str]:
    waiting = _rounded(mail.waiting)
    oldest = (now() - mail.oldest_waiting).total_seconds() // 60 * 60 if waiting and mail.oldest_waiting else 0
    yield from _family("emails_day", "gauge", "Emails that ended within 24 hours; tens.", finished)
    yield from _family("emails_waiting", "gauge", "Emails that wait to be sent; tens.", [({}, waiting)])
    yield from _family("emails_oldest_seconds", "gauge", "How long one of so many waits; minutes.", [({}, oldest)])
    yield from _family("mail_server_trouble", "gauge", "1: the mail server can't be used.", [({}, bool(mail.trouble))])
    yield from _family("mail_paused", "gauge", "1: an admin paused the mail.", [({}, mail.paused_at is not None)])


async def _finished(db: AsyncSession) -> list[Sample]:
    query = (
        select(emails.c.kind, emails.c.state, func.count())
        .where(recent(emails.c.finished_at, LATELY))
        .group_by(emails.c.kind, emails.c.state)
        .order_by(emails.c.kind, emails.c.state)
    )
    return [
        ({"kind": kind, "outcome": state}, _rounded(count))
        for kind, state, count in await execute(db, query)
        if _rounded(count)
    ]


def _rounded(count: int) -> int:
    return count // FEW * FEW


def _family(name: str, kind: str, help_text: str, samples: Iterable[Sample]) -> Iterator[str]:
    name = f"microblog_{name}"
    yield f"# HELP {name} {help_text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        written = ",".join(f'{label}="{_escaped(str(word))}"' for label, word in labels.items())
        yield f"{name}{{{written}}} {value:.15g}" if written else f"{name} {value:.15g}"


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
