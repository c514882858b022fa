"""Servers that answer by path and remember what they were asked, and a forward proxy."""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from hyperscale.v1 import statistics_pb2 as pb
from tests.integration.engine.engine_process import Outcome
from tests.support.listening import listening


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived."""

    method: str
    target: str
    fields: dict[str, str]
    body: bytes
    connection: int


@dataclass(slots=True)
class Web:
    """A running server."""

    url: str = ""
    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    most_open: int = 0

    @property
    def targets(self) -> Counter[str]:
        return Counter(asked.target for asked in self.asked)

    def fields(self, target: str, name: str) -> list[str | None]:
        """A header field of the requests for a target, in order."""
        return [asked.fields.get(name) for asked in self.asked if asked.target == target]


Site = Callable[[Asked], bytes]


def response(status: int = 200, *fields: str, body: bytes = b"ok") -> bytes:
    lines = [f"HTTP/1.1 {status} Something", f"Content-Length: {len(body)}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


def redirect(location: str, status: int = 302, *fields: str) -> bytes:
    return response(status, f"Location: {location}", *fields, body=b"")


@asynccontextmanager
async def web(
    site: Site, *, tls: ssl.SSLContext | None = None, name: str = "127.0.0.1", delay_seconds: float = 0.0
) -> AsyncIterator[Web]:
    """Serve for the length of the block."""
    server_state = Web()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_state.connections += 1
        server_state.open += 1
        server_state.most_open = max(server_state.most_open, server_state.open)
        number = server_state.connections
        try:
            while (asked := await read_asked(reader, number)) is not None:
                server_state.asked.append(asked)
                await asyncio.sleep(delay_seconds)
                writer.write(site(asked))
        finally:
            server_state.open -= 1

    async with listening(serve, tls=tls) as server_state.port:
        server_state.url = f"{'https' if tls else 'http'}://{name}:{server_state.port}"
        yield server_state


async def read_asked(reader: asyncio.StreamReader, connection: int) -> Asked | None:
    """The next request; None at the end of the stream, or of what can be read."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *lines = head.rstrip().split("\r\n")
        if line.count(" ") != 2:
            return None
        method, target, _ = line.split(" ")
        fields = {name.lower(): value.strip() for name, _, value in (entry.partition(":") for entry in lines)}
        if fields.get("transfer-encoding") == "chunked":
            body = await read_chunks(reader)
        else:
            body = await reader.readexactly(int(fields.get("content-length", "0")))
    except asyncio.IncompleteReadError:
        return None
    return Asked(method, target, fields, body, connection)


async def read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        assert await reader.readexactly(2) == b"\r\n"
    assert await reader.readexactly(2) == b"\r\n"
    return body


@dataclass(slots=True)
class ForwardProxy:
    """A running proxy."""

    url: str = ""
    lines: list[str] = field(default_factory=list)


@asynccontextmanager
async def forward_proxy(credentials: str = "") -> AsyncIterator[ForwardProxy]:
    """A proxy that asks for credentials, if there are any; what comes for http:// it passes on as it is."""
    proxy = ForwardProxy()
    expected = f"Basic {base64.b64encode(credentials.encode()).decode()}" if credentials else None

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await relay(reader, writer, proxy, expected)

    async with listening(serve) as port:
        address = f"127.0.0.1:{port}"
        proxy.url = f"http://{credentials}@{address}" if credentials else f"http://{address}"
        yield proxy


async def relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, proxy: ForwardProxy, expected: str | None
) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    line = head.split(b"\r\n")[0].decode()
    proxy.lines.append(line)
    given = re.search(rb"(?i)proxy-authorization: ([^\r]*)", head)
    if expected is not None and (given is None or given[1].decode() != expected):
        writer.write(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")
        return
    found = re.search(r"(?:http://|CONNECT )([^:/ ]+):(\d+)", line)
    assert found, line
    upstream_reader, upstream = await asyncio.open_connection(found[1], int(found[2]))
    if line.startswith("CONNECT"):
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
    else:
        upstream.write(head)
    await asyncio.gather(pump(reader, upstream), pump(upstream_reader, writer))


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


def step_of(outcome: Outcome, name: str) -> pb.StepStats:
    return next(step for step in outcome.last.totals.steps if step.step_name == name)


def values(histogram: pb.Histogram) -> int:
    """How many values a histogram has."""
    return histogram.zero_count + sum(histogram.counts)
