"""Brings HTTP/2 connections from the port of the HTTP routes to the gRPC server, which begins with the first of them."""

from __future__ import annotations

import asyncio
from functools import cached_property

from hyperscale.client.target.server import RequestCounter

_READ_BYTES = 64 * 1024


class GrpcRelay:
    """Passes bytes on, both ways; whoever sends no gRPC does not wait for its library to load."""

    def __init__(self, counter: RequestCounter, tasks: asyncio.TaskGroup) -> None:
        self._counter = counter
        self._tasks = tasks

    def take(self, transport: asyncio.Transport, data: bytes) -> None:
        """Take over a connection that has sent `data` so far."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(data)
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        self._tasks.create_task(self._relay(reader, writer), name="relay gRPC")

    @cached_property
    def _starting(self) -> asyncio.Task[int]:
        return self._tasks.create_task(self._start(), name="start gRPC")

    async def _start(self) -> int:
        from hyperscale.client.target.grpc_service import start_grpc_server  # noqa: PLC0415 - loading it takes a while

        self._server, port = await start_grpc_server(self._counter)
        return port

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", await self._starting)
        there = self._tasks.create_task(_pump(there_reader, writer), name="relay gRPC answers")
        await _pump(reader, there_writer)
        await there


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on until one side has gone."""
    try:
        while data := await reader.read(_READ_BYTES):
            writer.write(data)
            await writer.drain()
    except OSError:
        # Gone without a word: the other side hears of it from the closed connection.
        return
    finally:
        writer.close()
