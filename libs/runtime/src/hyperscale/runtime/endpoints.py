"""Where a node listens: host and port as one value."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

_MAX_PORT = 65535


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """Host name or IP address (IPv6 without brackets) and a TCP port."""

    host: str
    port: int

    @classmethod
    def parse(cls, address: str) -> Endpoint:
        """Read ``host:port`` or ``[ipv6]:port``; raises ValueError on anything else."""
        host, separator, port_text = address.rpartition(":")
        if not separator or not host:
            raise ValueError(f"{address!r} is not host:port")
        bracketed = host.startswith("[") and host.endswith("]")
        if ":" in host and not bracketed:
            raise ValueError(f"{address!r}: an IPv6 address needs brackets, as in [::1]:8080")
        if not port_text.isascii() or not port_text.isdigit() or int(port_text) > _MAX_PORT:
            raise ValueError(f"{address!r}: the port must be a number from 0 to {_MAX_PORT}")
        return cls(host[1:-1] if bracketed else host, int(port_text))

    @property
    def address(self) -> str:
        """The form that gRPC and people use, ``host:port``."""
        return str(self)

    @property
    def is_loopback(self) -> bool:
        """Whether only processes on this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"
