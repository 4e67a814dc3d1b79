"""The log: one JSON line per event, on standard error. It names routes, never paths, since paths contain links."""

import json
import logging
import re
import sys
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

from webapp.settings import Settings

# Tells ADMINS of an error that nobody expected, and where it happened. Never raises.
Report = Callable[[Exception, str], Awaitable[None]]
# Whose messages are logged: the site's, and those of the libraries it runs on.
SPEAKERS = ("webapp", "uvicorn", "asyncio", "sqlalchemy")
SELDOM_SECONDS = 60.0
# Each can begin only where no character of its own comes before, or is short: otherwise a long text would cost the
# square of its length.
_SECRETS = re.compile(
    r"eyJ[\w.-]{20,}|(?<![\w.+-])[\w.+-]+@[\w-]+\.[\w.-]+|\b[A-Za-z0-9_-]{32,}\b|(?<=://)[^/\s:]{1,100}:[^@\s]{1,100}@"
)
_ADDRESS = re.compile(
    r"""("[^"\n]{1,64}"|(?<![^\s<>()\[\],;:"@…])[^\s<>()\[\],;:"@…]+)(@|=(?=[\w-]+\.)|%40)([\w-]+(?:\.[\w-]+)*)"""
)
_DOMAIN = re.compile(r"[\w-]+(\.[\w-]+)+")
_SPACES = "\t\u00a0\u202f"
# The id of the current request; None in background tasks.
current_request: ContextVar[str | None] = ContextVar("current_request", default=None)


def configure(settings: Settings) -> None:
    """Sends this process's log to standard error. For entry points, not for libraries.

    uvicorn's access log stays off however uvicorn was started, since it would name paths.
    """
    handler = logging.StreamHandler()
    handler.addFilter(Seldom())
    handler.setFormatter(JSONLines() if settings.log_format == "json" and not settings.development else Plain())
    for name in (*SPEAKERS, "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler] if name in SPEAKERS else []
        logger.propagate = False
    logging.getLogger("webapp").setLevel(logging.INFO)
    # SQLAlchemy names a pool's logger after its class, and ours would tell of each stop that it was disposed.
    logging.getLogger("webapp.database.waits").setLevel(logging.WARNING)
    # No line of ours shows these, so nobody looks them up (docs.python.org, "Logging HOWTO", Optimization). The ids of
    # process and thread stay, which gunicorn and hypercorn write into lines of their own.
    logging.logMultiprocessing = False
    logging._srcfile = None


def mask(address: str) -> str:
    """`susan@example.com` as `s…@example.com`: enough for the admin to recognise, too little to collect.

    Text without a domain after its last @ may be a password in the wrong field, so nothing of it is shown.
    """
    local, _at, domain = address.rpartition("@")
    return f"{local[:1]}…@{domain}" if local and _DOMAIN.fullmatch(domain) else f"{address[:1]}…"


def mask_all(text: str, *known: str) -> str:
    """The text with every address in it masked, including the spellings that bounces and relays use.

    `known` are addresses it may contain, however odd they look.
    """
    for address in sorted(filter(None, known), key=len, reverse=True):
        for spelled in (address, address.replace("@", "="), address.replace("@", "%40")):
            text = re.sub(re.escape(spelled), mask(address), text, flags=re.IGNORECASE)
    return _ADDRESS.sub(lambda found: mask(f"{found[1]}@{found[3]}"), text)


def printable(text: str) -> str:
    """A line whose every character is one that shows or a space: none drives a terminal or turns the writing round,
    and each fits into the log and the database. Mail servers answer in any encoding, and browsers call themselves
    anything.
    """
    return "".join(sign if sign.isprintable() or sign in _SPACES else "?" for sign in text)


def say(words: str, where: TextIO | None = None) -> None:
    """Prints lines for the person who runs a command, on standard output unless told otherwise.

    They may repeat what visitors, mail servers or files say, and none of that may control the admin's terminal.
    Raises OSError if they can't be written, as into a file on a full disk; it names the stream, not a file.
    """
    stream = where or sys.stdout
    try:
        print("\n".join(map(printable, words.split("\n"))), file=stream, flush=True)
    except OSError as error:
        error.filename = error.filename or stream.name  # else it would pass for an error of the database's
        raise


def redact(text: str) -> str:
    """Cuts out secrets and addresses: our tokens, email addresses, passwords in URLs, long keys."""
    return _SECRETS.sub("[cut]", text)


class Seldom(logging.Filter):
    """Lets each warning of a library through once in a while: strangers can cause uvicorn's with every request, and
    must not fill the log. The site's own lines all pass.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING or record.name.startswith("webapp"):
            return True
        moment, words = time.monotonic(), str(record.msg)  # as it stands in the code, so there are few
        if moment < self._said_at.get(words, float("-inf")) + SELDOM_SECONDS:
            return False
        self._said_at[words] = moment
        return True


class JSONLines(logging.Formatter):
    _encode = json.JSONEncoder(default=str).encode

    def format(self, record: logging.LogRecord) -> str:
        return self._encode(_fields(self, record))


class Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(self, record)
        trace = fields.pop("trace", "")
        head = f"{fields.pop('time')[11:19]} {fields.pop('level'):7} {fields.pop('event')}"
        rest = " ".join(f"{name}={value!s}" for name, value in fields.items() if name != "logger")
        return "\n".join([_escaped(f"{head} {rest}".rstrip()), *_indented(trace)])


def _indented(trace: str) -> list[str]:
    """The lines of a trace, none of which can be taken for an event: what an error says may come from a visitor."""
    return [f"  {_escaped(line)}" for line in trace.split("\n")] if trace else []


def _escaped(line: str) -> str:
    """The line without what would begin a new one, drive a terminal or turn the writing round."""
    return "".join(
        sign if sign.isprintable() or sign in _SPACES else sign.encode("unicode_escape", "surrogatepass").decode()
        for sign in line
    )


def _fields(formatter: logging.Formatter, record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": redact(record.getMessage()),
        **getattr(record, "fields", {}),
    }
    if request_id := current_request.get():
        fields["request_id"] = request_id
    if record.exc_info:
        fields["trace"] = redact(formatter.formatException(record.exc_info))
    return fields
