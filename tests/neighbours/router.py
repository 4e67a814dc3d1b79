"""A router as Heroku has one: it ends TLS, adds the visitor to what X-Forwarded-For says already, and streams bodies.

python -m tests.neighbours.router PORT SITE_PORT CERTIFICATE
"""

import asyncio
import contextlib
import ssl
import sys
from asyncio import StreamReader, StreamWriter

LONGEST_LINE = 8192
LAST_WORDS = 1.0  # seconds for an answer to a body that the site would not read to its end


class Unreadable(Exception):
    """The head is too large, or no head at all."""


async def serve(port: int, site_port: int, certificate: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def visit(reader: StreamReader, writer: StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await _pass_on(reader, writer, site_port)
        writer.close()

    server = await asyncio.start_server(visit, "127.0.0.1", port, ssl=context, limit=LONGEST_LINE)
    async with server:
        await server.serve_forever()


async def _pass_on(reader: StreamReader, writer: StreamWriter, site_port: int) -> None:
    """One request, and the answer; then the connection ends."""
    try:
        head = await _head(reader, str(writer.get_extra_info("peername")[0]))
    except Unreadable:
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        return await writer.drain()
    from_site, to_site = await asyncio.open_connection("127.0.0.1", site_port)
    to_site.write(head)
    both = [asyncio.create_task(_pump(*ends)) for ends in ((reader, to_site), (from_site, writer))]
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)  # whoever hangs up ends it for both
    await asyncio.wait(both[1:], timeout=LAST_WORDS)
    for pumping in both:
        pumping.cancel()
    to_site.close()


async def _head(reader: StreamReader, visitor: str) -> bytes:
    lines = [await _line(reader)]
    while (line := await _line(reader)) != b"\r\n":
        lines.append(line)
        if len(lines) > 200:
            raise Unreadable
    said = [line.partition(b":")[2].strip() for line in lines if line.lower().startswith(b"x-forwarded-for:")]
    kept = [line for line in lines if not line.lower().startswith((b"x-forwarded-", b"connection:"))]
    added = [
        b"X-Forwarded-For: " + b", ".join([*said, visitor.encode()]) + b"\r\n",
        b"X-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\nVia: 1.1 heroku-router\r\nConnection: close\r\n\r\n",
    ]
    return b"".join(kept + added)


async def _line(reader: StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n")
    except asyncio.LimitOverrunError as error:
        raise Unreadable from error


async def _pump(reader: StreamReader, writer: StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
