"""Visitors who know exactly what they were promised: an answer counts once all of it was read."""

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from tests.reliability.stage import HOST, Stage

ANSWER_SECONDS = 60.0
FRESH_SECONDS = 2.0  # the server hangs up after 5
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    cookies: dict[str, str]
    body: bytes

    @property
    def location(self) -> str:
        return self.headers.get("location", "")


class Broken(Exception):
    """The connection ended before the whole answer was there: nothing was promised."""


class Visitor:
    """One kept connection to one web process, each request from a network of its own."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._used = 0.0
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, *, is_htmx: bool = False, cookie: str = "", **fields: str) -> Answer:
        return await self._ask("POST", path, urlencode(fields).encode(), is_htmx, cookie)

    async def get(self, path: str, cookie: str = "") -> Answer:
        return await self._ask("GET", path, b"", False, cookie)

    async def _ask(self, method: str, path: str, body: bytes, is_htmx: bool, cookie: str) -> Answer:
        number = next(_numbers)
        network = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        lines = [f"{method} {path} HTTP/1.1", f"host: {HOST}", f"x-forwarded-for: {network}"]
        if body:
            lines += ["content-type: application/x-www-form-urlencoded", f"content-length: {len(body)}"]
        if is_htmx:
            lines += ["hx-request: true", "hx-request-type: partial"]
        if cookie:
            lines.append(f"cookie: {cookie}")
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await self._connected()
                writer.write("\r\n".join([*lines, "", ""]).encode() + body)
                return await self._read(reader)
        except (OSError, EOFError, ValueError) as error:
            self.leave()
            raise Broken from error

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if time.monotonic() - self._used > FRESH_SECONDS:
            self.leave()
        if self._stream is None:
            self._stream = await asyncio.open_connection("127.0.0.1", self.port)
        return self._stream

    async def _read(self, reader: asyncio.StreamReader) -> Answer:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        lines = [(name.lower(), value.strip()) for name, _colon, value in (line.partition(":") for line in head[1:])]
        headers, set_ = dict(lines), [value.partition(";")[0] for name, value in lines if name == "set-cookie"]
        cookies = {name: value for name, _equals, value in (cookie.partition("=") for cookie in set_)}
        body = await reader.readexactly(int(headers["content-length"]))
        self._used = time.monotonic()
        if headers.get("connection") == "close":
            self.leave()
        return Answer(int(head[0].split(" ")[1]), headers, cookies, body)

    def leave(self) -> None:
        if self._stream:
            self._stream[1].close()
        self._stream = None


class Crowd:
    """Visitors who ask for registration emails, each to an address that nobody ever used.

    `accepted` has the time of each answer that promised an email; `statuses` counts all answers.
    """

    def __init__(self, site: Stage, name: str) -> None:
        self.site = site
        self.accepted: dict[str, float] = {}
        self.statuses: Counter[int] = Counter()
        self.broken = 0
        self._asking = 0
        self._addresses = (f"{name}{number}@example.com" for number in itertools.count(1))

    async def ask(self, visitor: Visitor) -> None:
        address = next(self._addresses)
        is_htmx = bool(len(self.accepted) % 2)
        try:
            answer = await visitor.post("/register", is_htmx=is_htmx, email=address)
        except Broken:
            self.broken += 1
            await asyncio.sleep(0.2)
            return
        self.statuses[answer.status] += 1
        if answer.status == (200 if is_htmx else 303):
            self.accepted[address] = time.time()

    async def come(self, most: int, *, a_second: float, visitors: int = 8, seconds: float = 300.0) -> None:
        """Comes at a steady pace until so many emails were promised; the processes are visited in turn."""
        began, asked = time.monotonic(), itertools.count()

        async def keep_asking(visitor: Visitor) -> None:
            while len(self.accepted) + self._asking < most and time.monotonic() - began < seconds:
                self._asking += 1
                await asyncio.sleep(max(0.0, began + next(asked) / a_second - time.monotonic()))
                await self.ask(visitor)
                self._asking -= 1

        await _together(self.site, visitors, keep_asking)

    @property
    def faults(self) -> int:
        """Answers that no visitor should get."""
        return sum(count for status, count in self.statuses.items() if status >= 500)


async def _together(site: Stage, visitors: int, work: Callable[[Visitor], Awaitable[None]]) -> None:
    ports = itertools.cycle(process.port for process in site.processes)
    async with visiting([next(ports) for _ in range(visitors)]) as everyone, asyncio.TaskGroup() as group:
        for visitor in everyone:
            group.create_task(_awaited(work(visitor)))


async def _awaited(work: Awaitable[None]) -> None:
    await work


@contextlib.asynccontextmanager
async def visiting(ports: list[int]) -> AsyncIterator[list[Visitor]]:
    everyone = [Visitor(port) for port in ports]
    try:
        yield everyone
    finally:
        for visitor in everyone:
            visitor.leave()


@contextlib.asynccontextmanager
async def slow_visitors(port: int, count: int) -> AsyncIterator[None]:
    """Visitors whose form comes in a byte at a time, and does not end."""
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
    for _reader, writer in streams:
        head = ["POST /register HTTP/1.1", f"host: {HOST}", "content-type: application/x-www-form-urlencoded"]
        writer.write("\r\n".join([*head, "content-length: 5000", "", ""]).encode())
    try:
        async with asyncio.TaskGroup() as group:
            trickling = group.create_task(_trickle([writer for _reader, writer in streams]))
            await asyncio.sleep(0.5)
            yield
            trickling.cancel()
    finally:
        for _reader, writer in streams:
            writer.transport.abort()


async def _trickle(writers: list[asyncio.StreamWriter]) -> None:
    while True:
        for writer in writers:
            if not writer.is_closing():
                writer.write(b"x")
        await asyncio.sleep(0.5)
