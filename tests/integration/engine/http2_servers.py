"""A server that speaks HTTP/2 by the `h2` library: answers by path and remembers what it was asked, or misbehaves."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded
from h2.exceptions import ProtocolError

from tests.integration.engine.web_servers import Asked

Fields = tuple[tuple[str, str], ...]
React = Callable[["Http2Peer", int, Asked], None]
"""Answers the request of a stream, or does something else."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole response."""

    status: int = 200
    fields: Fields = ()
    body: bytes = b"ok"
    trailers: Fields = ()
    interim: tuple[int, ...] = ()


@dataclass(slots=True)
class Http2Web:
    """A running server."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    transports: list[asyncio.Transport] = field(default_factory=list)

    @property
    def targets(self) -> list[str]:
        return [asked.target for asked in self.asked]


class Http2Peer(asyncio.Protocol):
    """One connection of the server."""

    def __init__(self, server: Http2Web, react: React) -> None:
        self.library = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._server = server
        self._react = react
        self._requests: dict[int, dict[str, str]] = {}
        self._bodies: dict[int, bytes] = {}
        self._unsent: dict[int, Reply] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._server.transports.append(self.transport)
        self._server.connections += 1
        self._number = self._server.connections
        self.library.initiate_connection()
        self.flush()

    def data_received(self, data: bytes) -> None:
        try:
            events = self.library.receive_data(data)
        except ProtocolError:
            self.transport.abort()
            return
        for event in events:
            self._handle(event)
        self._send_bodies()
        self.flush()

    def reply(self, stream: int, reply: Reply) -> None:
        """Answer as the protocol wants it."""
        for status in reply.interim:
            self.library.send_headers(stream, [(":status", str(status))])
        is_head = self._requests[stream][":method"] == "HEAD"
        has_body = bool(reply.body) and not is_head
        head = [(":status", str(reply.status)), *reply.fields]
        self.library.send_headers(stream, head, end_stream=not (has_body or reply.trailers))
        if has_body or reply.trailers:
            self._unsent[stream] = reply

    def flush(self) -> None:
        self.transport.write(self.library.data_to_send())

    def _handle(self, event: Any) -> None:
        match event:
            case RequestReceived():
                self._requests[event.stream_id] = {str(name): str(value) for name, value in event.headers}
                self._bodies[event.stream_id] = b""
            case DataReceived():
                self.library.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self._bodies[event.stream_id] += event.data
            case StreamEnded():
                fields = self._requests[event.stream_id]
                body = self._bodies.pop(event.stream_id)
                asked = Asked(fields[":method"], fields[":path"], fields, body, self._number)
                self._server.asked.append(asked)
                self._react(self, event.stream_id, asked)

    def _send_bodies(self) -> None:
        for stream, reply in list(self._unsent.items()):
            rest = reply.body
            while rest and (window := self.library.local_flow_control_window(stream)) > 0:
                piece = rest[: min(window, self.library.max_outbound_frame_size)]
                rest = rest[len(piece) :]
                self.library.send_data(stream, piece, end_stream=not (rest or reply.trailers))
            self._unsent[stream] = Reply(body=rest, trailers=reply.trailers)
            if not rest:
                del self._unsent[stream]
                if reply.trailers:
                    self.library.send_headers(stream, reply.trailers, end_stream=True)


def site(answer: Callable[[Asked], Reply]) -> React:
    """A server without malice."""
    return lambda peer, stream, asked: peer.reply(stream, answer(asked))


@asynccontextmanager
async def http2_web(react: React, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Http2Web]:
    """Serve for the length of the block: with prior knowledge, or by ALPN with TLS."""
    if tls is not None:
        tls.set_alpn_protocols(["h2"])
    web = Http2Web()
    server = await asyncio.get_running_loop().create_server(lambda: Http2Peer(web, react), "127.0.0.1", 0, ssl=tls)
    web.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield web
        for transport in web.transports:
            transport.abort()
        # What abort has put off comes with the next turn of the loop.
        await asyncio.sleep(0)
