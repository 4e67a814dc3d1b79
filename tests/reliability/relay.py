"""A mail server that misbehaves to order, in a process of its own: `python -m tests.reliability.relay LOG`.

Each line on its standard input is a JSON object of changes, each line on its standard output what it saw since the
start. It ends when its standard input does, so it never outlives the test that started it.

A fault is `{"at": "RCPT", "answer": "451 later", "one_in": 10}`: every tenth RCPT is answered so. `at` is one of MAIL,
RCPT, DATA and DOT, the end of the email, where "drop" hangs up after the email was taken. Counting, not chance: two
runs are troubled alike. With `hold` the answer waits until `release`; with `seconds` it comes late.
"""

import asyncio
import contextlib
import json
import re
import socket
import sys
import time
from typing import Any, TextIO

LINK = re.compile(rb"^(https?://\S+)\r$", re.MULTILINE)
MESSAGE_ID = re.compile(rb"^Message-ID: *(\S+)\r$", re.MULTILINE | re.IGNORECASE)


class Relay:
    """Takes every email that no fault forbids, and writes it down before it says so."""

    def __init__(self, log: TextIO) -> None:
        self.log = log
        self.seconds = 0.0
        self.faults: list[dict[str, Any]] = []
        self.released = asyncio.Event()
        self.counted = {"now": 0, "most": 0, "accepted": 0, "held": 0}
        self.counts: list[int] = []
        self.writers: set[asyncio.StreamWriter] = set()
        self.server: asyncio.Server | None = None
        # Never listens: it only keeps the port ours while the server is away, so that it refuses connections.
        self._holder = _bound(0)
        self.port: int = self._holder.getsockname()[1]

    async def change(self, order: dict[str, Any]) -> None:
        if "faults" in order:
            self.faults, self.counts = order["faults"], [0] * len(order["faults"])
            self.released.clear()
        if order.get("release"):
            self.released.set()
        self.seconds = order.get("seconds", self.seconds)
        if order.get("away") is True:
            await self._leave()
        elif order.get("away") is False and self.server is None:
            listening = _bound(self.port)
            self.server = await asyncio.start_server(self._converse, sock=listening, backlog=200)

    async def _leave(self) -> None:
        if self.server:
            self.server.close()
            self.server = None
        for writer in self.writers:
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        self.counted["now"] += 1
        self.counted["most"] = max(self.counted["most"], self.counted["now"])
        try:
            await self._say(writer, "220 relay.example")
            await self._obey(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.writers.discard(writer)
            self.counted["now"] -= 1
            writer.close()

    async def _obey(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recipient = ""
        while line := await reader.readline():
            verb = line[:4].decode("ascii", "replace").upper().strip()
            if verb == "RCPT":
                recipient = line.partition(b"<")[2].partition(b">")[0].decode()
            if verb == "QUIT":
                return await self._say(writer, "221 bye")
            if verb in {"MAIL", "RCPT", "DATA"} and (answer := await self._fault(verb)):
                if not await self._went_on(writer, answer):
                    return
            elif verb == "DATA":
                await self._say(writer, "354 go on")
                if not await self._took(writer, await reader.readuntil(b"\r\n.\r\n"), recipient):
                    return
            else:
                await self._say(writer, "250 relay.example")

    async def _took(self, writer: asyncio.StreamWriter, content: bytes, recipient: str) -> bool:
        """Takes an email or refuses it; says whether the conversation goes on."""
        answer = await self._fault("DOT")
        if answer in {"", "drop"}:
            self._note(content, recipient)
        return await self._went_on(writer, answer or "250 taken")

    async def _went_on(self, writer: asyncio.StreamWriter, answer: str) -> bool:
        if answer != "drop":
            await self._say(writer, answer)
        return answer != "drop" and not answer.startswith("421")

    async def _fault(self, at: str) -> str:
        """What to answer instead of yes, once it is time; empty for yes."""
        for number, fault in enumerate(self.faults):
            if fault["at"] != at:
                continue
            self.counts[number] += 1
            if self.counts[number] % fault.get("one_in", 1) == 0:
                await asyncio.sleep(fault.get("seconds", 0))
                if fault.get("hold"):
                    self.counted["held"] += 1
                    await self.released.wait()
                return str(fault.get("answer", ""))
        return ""

    async def _say(self, writer: asyncio.StreamWriter, words: str) -> None:
        if self.seconds:
            await asyncio.sleep(self.seconds)
        writer.write(f"{words}\r\n".encode())
        await writer.drain()

    def _note(self, content: bytes, recipient: str) -> None:
        link, identity = LINK.search(content), MESSAGE_ID.search(content)
        email = {
            "at": time.time(),
            "to": recipient,
            "id": identity[1].decode() if identity else "",
            "link": link[1].decode() if link else "",
        }
        print(json.dumps(email), file=self.log, flush=True)
        self.counted["accepted"] += 1


def _bound(port: int) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind(("127.0.0.1", port))
    return listening


async def serve(log: TextIO) -> None:
    relay = Relay(log)
    await relay.change({"away": False})
    orders = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(orders)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    print(json.dumps({"port": relay.port}), flush=True)
    while order := await orders.readline():
        await relay.change(json.loads(order))
        print(json.dumps(relay.counted), flush=True)
    await relay.change({"away": True})


if __name__ == "__main__":
    with open(sys.argv[1], "a") as file, contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(file))
