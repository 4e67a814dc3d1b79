"""A mail server that takes every email and keeps none, in a process of its own, as slow as it is told to be."""

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from typing import cast

import uvloop

_spawning = multiprocessing.get_context("spawn")


class MailSink:
    """`delay` is in seconds, for each answer; `emails` are those taken so far."""

    def __init__(self, port: int, delay: "Synchronized[float]", emails: "Synchronized[int]") -> None:
        self.port = port
        self._delay = delay
        self._emails = emails

    @property
    def emails(self) -> int:
        return self._emails.value

    def answer_after(self, seconds: float) -> None:
        self._delay.value = seconds


@contextmanager
def mail_sink() -> Iterator[MailSink]:
    delay, emails = _spawning.Value("d", 0.0), _spawning.Value("q", 0)
    here, there = _spawning.Pipe()
    process = _spawning.Process(target=_serve, args=(there, delay, emails), daemon=True)
    process.start()
    there.close()  # or nobody would notice that the process ended before it began to listen
    try:
        yield MailSink(here.recv(), delay, emails)
    finally:
        process.kill()
        process.join()


def _serve(parent: Connection, delay: "Synchronized[float]", emails: "Synchronized[int]") -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Conversation(delay, emails), "127.0.0.1", 0)
        parent.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(serve())


class Conversation(asyncio.Protocol):
    """SMTP (RFC 5321) as one client needs it, each answer after the delay."""

    def __init__(self, delay: "Synchronized[float]", emails: "Synchronized[int]") -> None:
        self.delay = delay
        self.emails = emails
        self._received = b""
        self._is_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._answer(b"220 localhost\r\n")

    def data_received(self, data: bytes) -> None:
        self._received += data
        while True:
            end = b"\r\n.\r\n" if self._is_data else b"\r\n"
            said, ended, rest = self._received.partition(end)
            if not ended:
                return
            self._received = rest
            self._take(said)

    def _take(self, said: bytes) -> None:
        verb = said[:4].upper()
        if self._is_data:
            self._is_data = False
            self.emails.value += 1
            self._answer(b"250 taken\r\n")
        elif verb == b"DATA":
            self._is_data = True
            self._answer(b"354 go on\r\n")
        elif verb == b"QUIT":
            self._answer(b"221 bye\r\n")
        else:
            self._answer(b"250 OK\r\n")

    def _answer(self, line: bytes) -> None:
        if self.delay.value:
            asyncio.get_running_loop().call_later(self.delay.value, self._write, line)
        else:
            self._write(line)

    def _write(self, line: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(line)
