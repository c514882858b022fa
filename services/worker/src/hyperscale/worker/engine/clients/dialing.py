"""Ways to the peers of TCP and UDP clients: addresses that all users of a run look up together, and sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Final, TypeVar

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.worker.engine.clients.protocol import CallError
from hyperscale.worker.engine.resolver import Address, HostAddresses, LookupFailedError
from hyperscale.worker.engine.user import RunParts
from hyperscale.workload.socket_addresses import SocketEndpoint

MAX_KNOWN_HOSTS: Final = 1000
"""Most hosts whose addresses are kept: code that goes to ever new ones must not use up the engine."""

OpenedT = TypeVar("OpenedT")


class AddressBook:
    """The addresses of every host that the users of a run connect to."""

    def __init__(self, ttl_seconds: float) -> None:
        self._ttl_seconds = ttl_seconds
        self._hosts: dict[tuple[str, int], HostAddresses] = {}

    @staticmethod
    def of(parts: RunParts) -> AddressBook:
        """The one of a run."""
        return parts.commons.get(AddressBook, lambda: AddressBook(parts.connectors.network.dns_ttl_seconds))

    async def reach(
        self, endpoint: SocketEndpoint, timeout_seconds: float, open_to: Callable[[Address], Awaitable[OpenedT]]
    ) -> OpenedT:
        """What `open_to` makes of the first address that takes it. Raises CallError, or what the last address raised.

        Each address but the last may use its part of the time: one that swallows packets does not hide the others.
        """
        deadline = perf_counter() + timeout_seconds
        addresses = self._addresses_of(endpoint)
        try:
            async with asyncio.timeout(timeout_seconds):
                found = await addresses.all()
        except LookupFailedError as error:
            raise CallError(pb.ERROR_CLASS_LOCAL if error.is_local else pb.ERROR_CLASS_DNS, str(error)) from error
        failure: OSError | None = None
        for number, address in enumerate(found):
            share = (deadline - perf_counter()) / (len(found) - number)
            try:
                async with asyncio.timeout(max(0.0, share)):
                    return await open_to(address)
            except OSError as error:
                addresses.failed(address)
                failure = error
        raise failure or ConnectionError("no address")

    def _addresses_of(self, endpoint: SocketEndpoint) -> HostAddresses:
        key = (endpoint.host, endpoint.port)
        known = self._hosts.get(key)
        if known is None:
            while len(self._hosts) >= MAX_KNOWN_HOSTS:
                del self._hosts[next(iter(self._hosts))]
            known = self._hosts[key] = HostAddresses(endpoint.host, endpoint.port, self._ttl_seconds)
        return known


async def connected_socket(address: Address, kind: socket.SocketKind) -> socket.socket:
    """A socket that is connected to an address. Raises OSError."""
    opened = socket.socket(address.family, kind)
    try:
        opened.setblocking(False)
        await asyncio.get_running_loop().sock_connect(opened, address.address)
    except BaseException:
        opened.close()
        raise
    return opened
