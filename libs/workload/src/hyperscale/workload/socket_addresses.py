"""Addresses of steps over TCP and UDP: `host:port`, with or without a scheme."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

TCP_SCHEMES: Final = ("tcp", "tls")
UDP_SCHEMES: Final = ("udp",)

_ADDRESS: Final = re.compile(
    r"(?:(?P<scheme>[A-Za-z]+)://)?(?P<host>[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})/?"
)
_LARGEST_PORT: Final = 65_535


class SocketAddressError(ValueError):
    """An address that cannot be used; the message says what would be valid."""


@dataclass(frozen=True, slots=True)
class SocketEndpoint:
    """Where to connect."""

    host: str
    """Name or address, without brackets."""
    port: int
    is_tls: bool


def parse_address(address: str, schemes: Sequence[str]) -> SocketEndpoint:
    """Read an address; without a scheme the first one is meant. Raises SocketAddressError."""
    shown = " or ".join([*(f"{scheme}://host:port" for scheme in schemes), "host:port"])
    found = _ADDRESS.fullmatch(address)
    if found is None or (found["scheme"] or schemes[0]).lower() not in schemes:
        raise SocketAddressError(f"must be {shown}, without templates or a path, not {address[:80]!r}")
    port = int(found["port"])
    if not 1 <= port <= _LARGEST_PORT:
        raise SocketAddressError(f"must have a port from 1 to {_LARGEST_PORT}, not {port}")
    return SocketEndpoint(found["host"].strip("[]"), port, is_tls=(found["scheme"] or "").lower() == "tls")
