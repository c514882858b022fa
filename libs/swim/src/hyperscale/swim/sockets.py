"""One port number for datagrams and streams."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

from hyperscale.swim.models import NodeAddress

_ATTEMPTS = 32
_BACKLOG = 128


@dataclass(frozen=True, slots=True)
class BoundSockets:
    """A UDP and a listening TCP socket, bound to the same port."""

    address: NodeAddress
    datagrams: socket.socket
    streams: socket.socket

    def close(self) -> None:
        """Give the port back."""
        self.datagrams.close()
        self.streams.close()


async def bind(host: str, port: int) -> BoundSockets:
    """Bind both to an address of this machine; port 0 takes one that is free for both.

    Raises
    ------
    OSError
        The host is no address of this machine, or the port is taken.
    """
    family, address = await _resolved(host)
    for attempt in range(_ATTEMPTS):
        try:
            return _bind_both(family, address, port)
        except OSError:
            if port or attempt == _ATTEMPTS - 1:
                raise
    raise OSError(f"no port of {host} is free for both UDP and TCP")


async def bind_datagrams(host: str, port: int) -> socket.socket:
    """Bind a UDP socket to an address of this machine; port 0 takes a free one. For nodes whose TCP port is another server's.

    Raises
    ------
    OSError
        The host is no address of this machine, or the port is taken.
    """
    family, address = await _resolved(host)
    datagrams = socket.socket(family, socket.SOCK_DGRAM)
    try:
        datagrams.bind((address, port))
        datagrams.setblocking(False)
    except OSError:
        datagrams.close()
        raise
    return datagrams


async def _resolved(host: str) -> tuple[socket.AddressFamily, str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, 0, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
    family, _, _, _, where = found[0]
    return socket.AddressFamily(family), str(where[0])


def _bind_both(family: socket.AddressFamily, host: str, port: int) -> BoundSockets:
    streams = socket.socket(family, socket.SOCK_STREAM)
    datagrams = socket.socket(family, socket.SOCK_DGRAM)
    try:
        streams.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        streams.bind((host, port))
        bound = int(streams.getsockname()[1])
        datagrams.bind((host, bound))
        streams.listen(_BACKLOG)
        streams.setblocking(False)
        datagrams.setblocking(False)
    except OSError:
        streams.close()
        datagrams.close()
        raise
    return BoundSockets(NodeAddress(host, bound), datagrams, streams)
