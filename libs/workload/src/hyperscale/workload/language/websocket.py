"""WebSockets as workflows use them: `self.ws`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypedDict, Unpack


class WebSocketOptions(TypedDict, total=False):
    """What can be said of a session beside its URL.

    Attributes
    ----------
    headers
        Header fields to add to the handshake.
    subprotocols
        Names to offer as subprotocol, best first.
    timeout_seconds
        Longest time for connecting, for each message sent or received, and for closing; default 60.
    """

    headers: Mapping[str, str]
    subprotocols: Sequence[str]
    timeout_seconds: float


class WebSocket(Protocol):
    """A session under way. Every call raises `RequestError` when the session is broken."""

    @property
    def subprotocol(self) -> str | None:
        """The one that the server has chosen; None when it has chosen none."""
        ...

    async def send(self, message: str | bytes) -> None:
        """Send a message: a text as text, bytes as binary."""
        ...

    async def receive(self, *, timeout_seconds: float | None = None) -> str | bytes:
        """The next message that nobody has received yet, at most 16 MiB; `timeout_seconds`: default that of the session."""
        ...


class WebSocketClient(Protocol):
    """Sessions of one user."""

    def connect(self, url: str, **options: Unpack[WebSocketOptions]) -> AbstractAsyncContextManager[WebSocket]:
        """A session that is open within an ``async with`` block, and closed at its end.

        It is one call of the protocol ``ws``, which fails when a `RequestError` leaves the block. Opening raises
        `RequestError` too.

        Parameters
        ----------
        url
            A ws:// or wss:// URL, or a path that is appended to the job's target.

        Examples
        --------
        ::

            async with self.ws.connect("/chat", subprotocols=["chat.v2"]) as socket:
                await socket.send("hello")
                self.check("answers", await socket.receive() == "hello")
        """
        ...
