"""One TCP connection, read in the ways in which protocols end their messages, without keeping more than is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.worker.engine.clients.protocol import Call, CallError

CHUNK_BYTES: Final = 64 * 1024
"""Read at once; the transport stops reading when twice as much waits."""

Keep = Callable[[bytes], None]
"""Takes what was read, piece by piece."""


class TcpStream:
    """A connection with what it has received and nobody has taken yet, which is less than `CHUNK_BYTES`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # `drain` then waits until the system has everything, so that closing leaves nothing behind.
        writer.transport.set_write_buffer_limits(high=0)
        self._reader = reader
        self._writer = writer
        self._unread = b""
        self._is_spoilt = False

    @property
    def is_usable(self) -> bool:
        """Whether a later call can speak over it, as far as is known."""
        return not (
            self._is_spoilt
            or self._reader.at_eof()
            or self._writer.is_closing()
            or self._reader.exception() is not None
        )

    async def write(self, data: bytes, call: Call) -> None:
        """Send everything. Raises OSError."""
        self._writer.write(data)
        await self._writer.drain()
        call.sent(len(data))
        call.count("tcp_writes")

    async def read_until(self, delimiter: bytes, call: Call, keep: Keep) -> None:
        """Take everything up to and with a delimiter. Raises CallError at the end of the stream, and OSError."""
        tail = b""
        while True:
            chunk = await self._take(call)
            window = tail + chunk
            found = window.find(delimiter)
            if found >= 0:
                end = found + len(delimiter) - len(tail)
                self._unread = chunk[end:]
                keep(chunk[:end])
                call.count("tcp_reads")
                return
            keep(chunk)
            tail = window[max(0, len(window) - len(delimiter) + 1) :]

    async def read_exactly(self, size_bytes: int, call: Call, keep: Keep) -> None:
        """Take so many bytes. Raises as `read_until`."""
        missing = size_bytes
        while missing:
            chunk = await self._take(call)
            self._unread = chunk[missing:]
            keep(chunk[:missing])
            missing -= min(missing, len(chunk))
        call.count("tcp_reads")

    async def read_to_end(self, call: Call, keep: Keep) -> None:
        """Take everything until the peer closes. Raises OSError."""
        while chunk := self._unread or await self._receive(call):
            self._unread = b""
            keep(chunk)
        call.count("tcp_reads")

    def spoil(self) -> None:
        """Keep it from later calls."""
        self._is_spoilt = True

    def close(self) -> None:
        """Close it; nothing waits for the peer."""
        self._writer.close()

    def abort(self) -> None:
        """Drop it, whatever is under way."""
        self._writer.transport.abort()

    async def _take(self, call: Call) -> bytes:
        chunk, self._unread = self._unread, b""
        chunk = chunk or await self._receive(call)
        if not chunk:
            raise CallError(pb.ERROR_CLASS_RESET, "the peer has closed the connection before everything was read")
        return chunk

    async def _receive(self, call: Call) -> bytes:
        chunk = await self._reader.read(CHUNK_BYTES)
        call.received(len(chunk))
        return chunk
