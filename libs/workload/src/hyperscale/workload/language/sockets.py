"""TCP and UDP as workflows use them: `self.tcp` and `self.udp`."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypedDict, Unpack


class TcpOptions(TypedDict, total=False):
    """What can be said of a connection beside its address.

    Attributes
    ----------
    timeout_seconds
        Longest time for connecting, and for each call; default 60.
    keep_open
        Leave the connection open at the end of the block, for the user's next one to the same address that says so too.
    most_read_bytes
        Most bytes that one call may return; default 1 MiB.
    """

    timeout_seconds: float
    keep_open: bool
    most_read_bytes: int


class TcpConnection(Protocol):
    """A connection under way. Every call raises `RequestError` when the connection is broken, or a time is up."""

    async def send(self, data: str | bytes) -> None:
        """Send bytes, a text as UTF-8, until the system has taken all of them."""
        ...

    async def read(self, size_bytes: int) -> bytes:
        """Exactly so many bytes."""
        ...

    async def read_until(self, delimiter: str | bytes) -> bytes:
        """Everything up to and with a delimiter."""
        ...

    async def read_to_end(self) -> bytes:
        """Everything until the peer closes the connection."""
        ...


class TcpClient(Protocol):
    """Connections of one user."""

    def connect(self, address: str, **options: Unpack[TcpOptions]) -> AbstractAsyncContextManager[TcpConnection]:
        r"""A connection for an ``async with`` block.

        The block is one call of the protocol ``tcp``, which fails when a `RequestError` leaves it. Connecting raises
        `RequestError` too.

        Parameters
        ----------
        address
            ``tcp://host:port``, ``tls://host:port``, or ``host:port`` for TCP without TLS.

        Examples
        --------
        ::

            async with self.tcp.connect("cache.test:6379", keep_open=True) as connection:
                await connection.send("PING\r\n")
                self.check("answers", await connection.read_until("\r\n") == b"+PONG\r\n")
        """
        ...


class UdpOptions(TypedDict, total=False):
    """What can be said of a socket beside its address.

    Attributes
    ----------
    timeout_seconds
        Longest wait for a datagram; default 5.
    """

    timeout_seconds: float


class UdpSocket(Protocol):
    """A socket that speaks with one address. Every call raises `RequestError` when that fails, or a time is up."""

    async def send(self, data: str | bytes) -> None:
        """Send a datagram, a text as UTF-8."""
        ...

    async def receive(self, *, timeout_seconds: float | None = None) -> bytes:
        """The next datagram that nobody has received yet; `timeout_seconds`: default that of the socket."""
        ...


class UdpClient(Protocol):
    """Sockets of one user."""

    def open(self, address: str, **options: Unpack[UdpOptions]) -> AbstractAsyncContextManager[UdpSocket]:
        r"""A socket for an ``async with`` block.

        The block is one call of the protocol ``udp``, which fails when a `RequestError` leaves it.

        Parameters
        ----------
        address
            ``udp://host:port`` or ``host:port``.

        Examples
        --------
        ::

            async with self.udp.open("clock.test:123") as socket:
                await socket.send(b"\x1b" + bytes(47))
                self.check("answers", len(await socket.receive(timeout_seconds=1)) == 48)
        """
        ...
