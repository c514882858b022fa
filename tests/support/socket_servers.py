"""TCP and UDP servers that count, in the event loop of the test."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.support.listening import Serve, listening


@dataclass(slots=True)
class TcpServer:
    """What came in."""

    port: int = 0
    connections: int = 0
    lines: list[bytes] = field(default_factory=list)
    ended_properly: int = 0
    """Connections whose end the client has sent, after everything else."""

    async def echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer each line with itself; ``bye`` ends the connection."""
        while line := await reader.readline():
            self.lines.append(line)
            writer.write(line)
            await writer.drain()
            if line == b"bye\n":
                return
        self.ended_properly += 1


@asynccontextmanager
async def tcp_server(serve: Serve | None = None, tls: ssl.SSLContext | None = None) -> AsyncIterator[TcpServer]:
    """A server for the length of the block; it echoes lines unless it is told otherwise."""
    server = TcpServer()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        await (serve or server.echo)(reader, writer)

    async with listening(accept, tls=tls) as server.port:
        yield server


@dataclass(slots=True)
class UdpServer(asyncio.DatagramProtocol):
    """What came in. A datagram is sent back, twice when it begins with ``twice``, not at all when it begins with ``lost``."""

    port: int = 0
    datagrams: list[bytes] = field(default_factory=list)
    clients: set[tuple[str, int]] = field(default_factory=set)
    sent: int = 0
    transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.datagrams.append(data)
        self.clients.add(addr)
        copies = 0 if data.startswith(b"lost") else 2 if data.startswith(b"twice") else 1
        assert self.transport is not None
        for _ in range(copies):
            self.transport.sendto(data, addr)
            self.sent += 1


@asynccontextmanager
async def udp_server() -> AsyncIterator[UdpServer]:
    """A server for the length of the block."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(UdpServer, local_addr=("127.0.0.1", 0))
    server.port = transport.get_extra_info("sockname")[1]
    try:
        yield server
    finally:
        transport.close()
