"""An SMTP server that misbehaves as a test says: answers, drops and hangs at any step of the conversation."""

import asyncio
import contextlib
import re
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any

from tests.mailserver import Delivered, environment_of, settings_for

# The steps of a conversation: CONNECT, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA (the command), BODY (the first line
# of the email), DOT (the end of the email), QUIT. "RCPT nobody@example.com" is that step for one recipient; so is "DATA
# nobody@example.com".
USUAL = {"CONNECT": "220 localhost ready", "DATA": "354 go on", "AUTH": "235 welcome", "QUIT": "221 bye"}


class Fault(Enum):
    DROP = "drop"
    HANG = "hang"


class ScriptedServer:
    """Listens on loopback while it is entered. `answers` hold for good, what `once` queued comes before them."""

    def __init__(
        self, *, starttls: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None, port: int = 0
    ) -> None:
        self.port = port
        self.answers: dict[str, str | Fault] = {}
        self.seconds: dict[str, float] = {}  # for which it thinks before it answers a step
        self.emails: list[Delivered] = []
        self.commands: list[str] = []
        self.hanging: list[str] = []
        self.open = self.most_open = self.connections = 0
        self._starttls, self._tls = starttls, tls
        self._queued: dict[str, deque[str | Fault]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._listening = threading.Event()

    def __enter__(self) -> "ScriptedServer":
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._listening.wait(10)
        return self

    def __exit__(self, *error: object) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def once(self, step: str, *answers: str | Fault) -> None:
        """Answers the next times that the step is reached."""
        self._queued.setdefault(step, deque()).extend(answers)

    def wait_for(self, is_so: Callable[["ScriptedServer"], object], patience: float = 30.0) -> None:
        deadline = time.monotonic() + patience
        while not is_so(self):
            assert time.monotonic() < deadline, (self.commands[-20:], len(self.emails))
            time.sleep(0.01)

    def wait_for_emails(self, count: int, patience: float = 30.0) -> list[Delivered]:
        self.wait_for(lambda server: len(server.emails) >= count, patience)
        return list(self.emails)

    @property
    def verbs(self) -> set[str]:
        return {command.split()[0].upper() for command in self.commands}

    @property
    def settings(self) -> dict[str, Any]:
        """The settings with which a site reaches this server."""
        return settings_for(self.port, mail_use_tls=self._starttls is not None, mail_use_ssl=self._tls is not None)

    @property
    def environment(self) -> dict[str, str]:
        """The same as environment variables."""
        return environment_of(self.settings)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        talks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, _Gone):
                await _Talk(self, reader, writer).hold()

        def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(talk(reader, writer))
            talks[task] = writer
            task.add_done_callback(talks.pop)

        server = await asyncio.start_server(meet, "127.0.0.1", self.port, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._stop.wait()
        for listener in server.sockets:
            self._loop.remove_reader(listener.fileno())
        await asyncio.sleep(0.02)  # who has just been let in begins to talk: a closed server would forget them
        server.close()
        for task, writer in list(talks.items()):
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await asyncio.sleep(0.02)  # the transports close after the next turn of the loop

    def _answer(self, step: str) -> str | Fault:
        if self._queued.get(step):
            return self._queued[step].popleft()
        return self.answers.get(step, USUAL.get(step, "250 OK"))


class _Gone(Exception):
    """The conversation is over."""


class _Talk:
    """One conversation."""

    def __init__(self, server: ScriptedServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server, self.reader, self.writer = server, reader, writer
        self.sender, self.recipients = "", list[str]()

    async def hold(self) -> None:
        self.server.connections += 1
        self.server.open += 1
        self.server.most_open = max(self.server.most_open, self.server.open)
        try:
            await self._say("CONNECT")
            while True:
                await self._obey((await self._line()).decode().strip())
        finally:
            self.server.open -= 1
            self.writer.close()
            with contextlib.suppress(OSError):
                await self.writer.wait_closed()

    async def _obey(self, command: str) -> None:
        self.server.commands.append(command)
        verb = (command.split() or [""])[0].upper()
        address = "".join(re.findall(r"<([^>]*)>", command)[:1])
        if verb in {"EHLO", "HELO"}:
            await self._greet()
        elif verb == "STARTTLS":
            await self._say(verb, "220 go on")
            await self.writer.start_tls(self.server._starttls)  # type: ignore[arg-type]
        elif verb == "MAIL":
            await self._say(verb)
            self.sender, self.recipients = address, []
        elif verb == "RCPT":
            self.recipients.append(address)
            await self._say(self._step(verb))
        elif verb == "DATA":
            if (await self._say(self._step(verb), USUAL[verb])).startswith("3"):
                await self._take()
        else:
            if verb == "AUTH" and len(command.split()) < 3:
                self.writer.write(b"334 \r\n")
                await self._line()
            await self._say(verb)
            if verb == "QUIT":
                raise _Gone

    def _step(self, verb: str) -> str:
        of_one = f"{verb} {self.recipients[-1]}"
        return of_one if of_one in self.server.answers else verb

    async def _greet(self) -> None:
        is_plain = self.writer.get_extra_info("ssl_object") is None
        offers = ["STARTTLS"] if is_plain and self.server._starttls else []
        await self._say(
            "EHLO", "\r\n".join(["250-localhost", *(f"250-{offer}" for offer in offers), "250 AUTH PLAIN LOGIN"])
        )

    async def _take(self) -> None:
        lines = [await self._line()]
        await self._say("BODY", "")
        while lines[-1] != b".\r\n":
            lines.append(await self._line())
        content = b"".join(line.removeprefix(b".") for line in lines[:-1])
        answer = self.server._answer("DOT")
        if isinstance(answer, Fault) or answer.startswith("2"):
            self.server.emails.append(Delivered(self.sender, tuple(self.recipients), content))
        await self._give(answer, "DOT")

    async def _say(self, step: str, usual: str | None = None) -> str:
        answer = self.server._answer(step)
        if usual is not None and answer == USUAL.get(step, "250 OK"):
            answer = usual
        return await self._give(answer, step)

    async def _give(self, answer: str | Fault, step: str) -> str:
        await asyncio.sleep(self.server.seconds.get(step, 0))
        if answer is Fault.HANG:
            self.server.hanging.append(step)
            while await self.reader.read(1024):
                pass  # until the client goes
        if isinstance(answer, Fault):
            raise _Gone
        if answer:
            self.writer.write(answer.encode("utf-8", "surrogateescape") + b"\r\n")
            await self.writer.drain()
        if answer.startswith("421"):
            raise _Gone
        return answer

    async def _line(self) -> bytes:
        line = await self.reader.readline()
        if not line.endswith(b"\n"):
            raise _Gone
        return line
