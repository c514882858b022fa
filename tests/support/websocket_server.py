"""A WebSocket server that counts, in the event loop of the test."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol


@dataclass(slots=True)
class WebSocketServer:
    """What came in. Path decides what a client gets: ``/echo`` its messages, ``/chat`` a greeting and then its messages,
    ``/drop`` a reset after its first message, ``/silent`` nothing, ``/leave`` a goodbye after its first message,
    ``/refuse`` status 403, ``/flood`` messages without end after its first one, ``/huge`` one of 17 MiB.
    """

    port: int = 0
    sessions: int = 0
    received: list[str | bytes] = field(default_factory=list)
    sent: int = 0
    closed_properly: int = 0
    headers: list[dict[str, str]] = field(default_factory=list)
    subprotocols: list[str | None] = field(default_factory=list)

    async def talk(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.sessions += 1
        self.headers.append(dict(connection.request.headers.raw_items()))
        self.subprotocols.append(connection.subprotocol)
        try:
            path = connection.request.path.partition("?")[0]
            if path == "/chat":
                await self._send(connection, "welcome")
            async for message in connection:
                self.received.append(message)
                await self._react(connection, path, message)
        except ConnectionClosed:
            return
        self.closed_properly += connection.close_code == 1000

    async def _react(self, connection: ServerConnection, path: str, message: str | bytes) -> None:
        match path:
            case "/drop":
                connection.transport.abort()
            case "/leave":
                await connection.close()
            case "/flood":
                while True:
                    await self._send(connection, "x")
            case "/huge":
                await self._send(connection, "x" * 17 * 1024 * 1024)
            case "/silent":
                await asyncio.sleep(0)
            case _:
                await self._send(connection, message)

    async def _send(self, connection: ServerConnection, message: str | bytes) -> None:
        self.sent += 1
        await connection.send(message)


@asynccontextmanager
async def websocket_server(context: ssl.SSLContext | None = None) -> AsyncIterator[WebSocketServer]:
    """A server for the length of the block."""
    server = WebSocketServer()

    def judge(connection: ServerConnection, request: Request) -> Response | None:
        return connection.respond(403, "no") if request.path == "/refuse" else None

    def choose(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        return offered[-1] if offered else None

    options: dict[str, Any] = {} if context is None else {"ssl": context}
    async with serve(
        server.talk, "127.0.0.1", 0, process_request=judge, select_subprotocol=choose, **options
    ) as running:
        server.port = next(iter(running.sockets)).getsockname()[1]
        yield server
