"""How a run reaches its targets."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from hyperscale.worker.engine.proxy import Proxy


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """What all connections of a run have in common."""

    tls: ssl.SSLContext
    server_name: str
    """Name to ask for in TLS; empty: the host."""
    proxy: Proxy | None
    max_connections: int
    """Most per origin; 0: each user has its own."""
    dns_ttl_seconds: float
    keeps_cookies: bool
