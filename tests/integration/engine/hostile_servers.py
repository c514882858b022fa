"""Little servers that do one thing wrong, and count the requests they were sent."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.support.listening import listening

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]
"""Answers one request; the connection is read again afterwards, unless it was closed."""


@dataclass(slots=True)
class Hostile:
    """A running server."""

    url: str = ""
    requests: int = 0
    connections: int = 0


@asynccontextmanager
async def hostile_server(
    answer: Answer, *, host: str = "127.0.0.1", name: str = "", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Hostile]:
    """Serve for the length of the block; `name` stands in the URL instead of the address."""
    hostile = Hostile()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hostile.connections += 1
        while not writer.is_closing() and await read_request(reader):
            hostile.requests += 1
            await answer(writer)

    async with listening(serve, host=host, tls=tls) as port:
        shown = name or (f"[{host}]" if ":" in host else host)
        hostile.url = f"{'https' if tls else 'http'}://{shown}:{port}"
        yield hostile


async def read_request(reader: asyncio.StreamReader) -> bool:
    """Whether a whole request came before the end of the stream."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
    except asyncio.IncompleteReadError:
        return False
    return True


def sends(data: bytes) -> Answer:
    """Answers with these bytes and keeps the connection open."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return answer


def sends_pieces(*pieces: bytes) -> Answer:
    """Answers in pieces that arrive one by one."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.01)

    return answer


def sends_and_closes(data: bytes) -> Answer:
    """Answers with these bytes, then closes."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        writer.close()

    return answer


def resets_after(data: bytes) -> Answer:
    """Sends these bytes, then resets the connection."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return answer


def waits_for(seconds: float, data: bytes) -> Answer:
    """Answers late."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        writer.write(data)

    return answer


def closes_idle_after(seconds: float, data: bytes) -> Answer:
    """Answers, then closes the connection without a word when it is idle for so long."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        asyncio.get_running_loop().call_later(seconds, writer.close)

    return answer
