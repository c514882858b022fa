"""Addresses of hosts, looked up once per run: all users share them, as they share a machine's cache."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

LOOKUP_TIMEOUT_SECONDS: Final = 10.0
SocketAddress: TypeAlias = tuple[Any, ...]


class LookupFailedError(OSError):
    """The host has no address."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect."""

    family: socket.AddressFamily
    address: SocketAddress


class HostAddresses:
    """The addresses of one host and port; the first one that took a connection comes first from then on."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._lookup = asyncio.Lock()
        self._found: list[Address] | None = None
        self._failure: LookupFailedError | None = None

    async def all(self) -> list[Address]:
        """Every address, in the order in which to try them. Raises LookupFailedError, and the same one again."""
        async with self._lookup:
            if self._found is None and self._failure is None:
                await self._look_up()
        if self._found is None:
            raise LookupFailedError(str(self._failure))
        return self._found

    def prefer(self, address: Address) -> None:
        """Try this one first."""
        if self._found and self._found[0] != address:
            self._found = [address, *(other for other in self._found if other != address)]

    async def _look_up(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_SECONDS):
                found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError, TimeoutError) as error:
            self._failure = LookupFailedError(f"{self._host}: {error}")
            return
        unique = dict.fromkeys(Address(socket.AddressFamily(entry[0]), tuple(entry[4])) for entry in found)
        self._found = list(unique)
