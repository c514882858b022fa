"""Addresses of hosts: all users of a run share them, as they share a machine's cache."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, TypeAlias

LOOKUP_TIMEOUT_SECONDS: Final = 10.0
NEGATIVE_TTL_SECONDS: Final = 1.0
"""How long a lookup that failed is not repeated."""
AVOIDED_SECONDS: Final = 10.0
"""How long an address that took no connection is tried after the others."""
_OUT_OF_RESOURCES: Final = frozenset({socket.EAI_MEMORY, socket.EAI_SYSTEM})
SocketAddress: TypeAlias = tuple[Any, ...]


class LookupFailedError(OSError):
    """The host has no address."""

    def __init__(self, message: str, *, is_local: bool = False) -> None:
        super().__init__(message)
        self.is_local = is_local
        """Whether the machine lacked what a lookup needs."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect."""

    family: socket.AddressFamily
    address: SocketAddress


Lookup: TypeAlias = Callable[[str, int], Awaitable[list[Address]]]


async def look_up(host: str, port: int) -> list[Address]:
    """Every address that the system knows of a host."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(Address(socket.AddressFamily(entry[0]), tuple(entry[4])) for entry in found))


class HostAddresses:
    """The addresses of one host and port. Each connection begins with the next one, so that they share the load."""

    def __init__(self, host: str, port: int, ttl_seconds: float, lookup: Lookup = look_up) -> None:
        """`ttl_seconds`: how long an answer is used."""
        self._host = host
        self._port = port
        self._ttl_seconds = ttl_seconds
        self._lookup = lookup
        self._looking = asyncio.Lock()
        self._expires = 0.0
        self._found: list[Address] = []
        self._failure = LookupFailedError(host)
        self._turn = 0
        self._avoided_until: dict[Address, float] = {}

    async def all(self) -> list[Address]:
        """Every address, in the order in which to try them. Raises LookupFailedError, the same one for a while."""
        async with self._looking:
            if perf_counter() >= self._expires:
                await self._renew()
        if not self._found:
            raise self._failure
        self._turn = (self._turn + 1) % len(self._found)
        turned = self._found[self._turn :] + self._found[: self._turn]
        if not self._avoided_until:
            return turned
        now = perf_counter()
        return sorted(turned, key=lambda address: self._avoided_until.get(address, 0.0) > now)

    def failed(self, address: Address) -> None:
        """Try this one last for a while."""
        self._avoided_until[address] = perf_counter() + AVOIDED_SECONDS

    async def _renew(self) -> None:
        ttl_seconds, self._found = self._ttl_seconds, []
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_SECONDS):
                self._found = await self._lookup(self._host, self._port)
        except (OSError, UnicodeError, TimeoutError) as error:
            is_local = isinstance(error, OSError) and error.errno in _OUT_OF_RESOURCES
            self._failure = LookupFailedError(f"{self._host}: {error}", is_local=is_local)
            ttl_seconds = NEGATIVE_TTL_SECONDS
        self._expires = perf_counter() + ttl_seconds
        self._avoided_until = {
            address: until for address, until in self._avoided_until.items() if address in self._found
        }
