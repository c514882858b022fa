"""Addresses of host names, kept for a while: sending a datagram must never wait for a name server."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections import OrderedDict
from dataclasses import dataclass, field

_FRESH_SECONDS = 30.0
_HOSTS_MAX = 4096
_WAITING_MAX = 16


@dataclass(slots=True)
class _Host:
    address: str | None = None
    looked_up_at: float = float("-inf")
    is_being_looked_up: bool = False
    waiting: list[tuple[bytes, int]] = field(default_factory=list)


class Hosts:
    """Names and their addresses. Literal addresses are their own."""

    def __init__(self, family: socket.AddressFamily) -> None:
        self._family = family
        self._hosts: OrderedDict[str, _Host] = OrderedDict()

    def address_of(self, name: str) -> str | None:
        """Return what the name stood for last; none while it is not known."""
        return self._entry(name).address

    def needs_lookup(self, name: str, now: float) -> bool:
        """Whether to look the name up now; true once per lookup."""
        host = self._entry(name)
        if host.is_being_looked_up or now - host.looked_up_at < _FRESH_SECONDS:
            return False
        host.is_being_looked_up = True
        return True

    def hold(self, name: str, data: bytes, port: int) -> None:
        """Keep a datagram until the name is known; the oldest goes when there are too many."""
        waiting = self._entry(name).waiting
        waiting.append((data, port))
        del waiting[:-_WAITING_MAX]

    async def look_up(self, name: str, now: float) -> list[tuple[bytes, int]]:
        """Look the name up; return the datagrams that waited for it, none when it has no address."""
        host = self._entry(name)
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                name, None, family=self._family, type=socket.SOCK_DGRAM
            )
            host.address = str(found[0][4][0])
        except (OSError, ValueError):
            # Asked again with the next datagram after a while; what was known goes on being used.
            pass
        finally:
            host.is_being_looked_up = False
            host.looked_up_at = now
        waiting, host.waiting = host.waiting, []
        return waiting if host.address is not None else []

    def _entry(self, name: str) -> _Host:
        host = self._hosts.get(name)
        if host is None:
            host = _literal(name)
            self._hosts[name] = host
            if len(self._hosts) > _HOSTS_MAX:
                self._hosts.popitem(last=False)
        return host


def _literal(name: str) -> _Host:
    try:
        return _Host(str(ipaddress.ip_address(name)), looked_up_at=float("inf"))
    except ValueError:
        return _Host()
