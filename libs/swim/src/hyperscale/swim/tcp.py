"""Requests over TCP: one message each way, each behind its length in four bytes, then the connection ends."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

from hyperscale.swim.models import NodeAddress

_LENGTH = struct.Struct("!I")
_CONNECTIONS_MAX = 64


class TcpStreams:
    """Carries requests to other nodes and answers theirs.

    Parameters
    ----------
    listener
        Bound to the node's address; closed by `stop`.
    message_max_bytes, timeout_seconds
        Bounds for one message and one connection.
    """

    def __init__(self, listener: socket.socket, message_max_bytes: int, timeout_seconds: float) -> None:
        self._listener = listener
        self._answer: Callable[[bytes, NodeAddress], bytes] = _no_answer
        self._message_max_bytes = message_max_bytes
        self._timeout_seconds = timeout_seconds
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self.refused = 0
        """Connections closed at once because there were too many."""

    async def start(self, answer: Callable[[bytes, NodeAddress], bytes]) -> None:
        """Answer who connects, with what `answer` returns; empty for no answer."""
        self._answer = answer
        self._server = await asyncio.start_server(self._serve, sock=self._listener)

    async def stop(self) -> None:
        """Stop answering, and end what is under way."""
        for writer in list(self._connections):
            writer.transport.abort()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None
        self._listener.close()

    async def request(self, address: NodeAddress, data: bytes, timeout_seconds: float) -> bytes:
        """Send a message to a node and return its answer, empty if it gives none.

        Raises
        ------
        OSError
            The node cannot be reached, or does not answer in time.
        """
        async with asyncio.timeout(timeout_seconds):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            self._connections.add(writer)
            try:
                writer.write(_LENGTH.pack(len(data)) + data)
                await writer.drain()
                return await self._read(reader)
            finally:
                self._end(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= _CONNECTIONS_MAX:
            self.refused += 1
            writer.transport.abort()
            return
        self._connections.add(writer)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                data = await self._read(reader)
                host, port = writer.get_extra_info("peername")[:2]
                answer = self._answer(data, NodeAddress(host, port)) if data else b""
                writer.write(_LENGTH.pack(len(answer)) + answer)
                await writer.drain()
        except OSError:
            # Who asked has gone, or is too slow: it finds out by itself.
            writer.transport.abort()
        finally:
            self._end(writer)

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        """Return one message; empty when the other side ends the connection, or its message is too long."""
        try:
            (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
            return await reader.readexactly(length) if length <= self._message_max_bytes else b""
        except asyncio.IncompleteReadError:
            return b""

    def _end(self, writer: asyncio.StreamWriter) -> None:
        self._connections.discard(writer)
        writer.close()


def _no_answer(_data: bytes, _source: NodeAddress) -> bytes:
    return b""
