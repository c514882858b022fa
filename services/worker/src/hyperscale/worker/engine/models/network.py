"""How a run reaches its targets."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass

from hyperscale.worker.engine.models.plan import Origin
from hyperscale.worker.engine.proxy import Proxy


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """What all connections of a run have in common."""

    tls: ssl.SSLContext
    http2_tls: Callable[[], ssl.SSLContext]
    """The same for HTTP/2, made when it is asked for first: it takes longer than the start of a run should."""
    server_name: str
    """Name to ask for in TLS; empty: the host."""
    proxy: Proxy | None
    max_connections: int
    """Most per origin; 0: each user has its own."""
    dns_ttl_seconds: float
    keeps_cookies: bool

    def tls_to(self, origin: Origin) -> ssl.SSLContext | None:
        """How TLS is spoken with an origin; None: not at all."""
        if not origin.tls:
            return None
        return self.http2_tls() if origin.speaks_http2 else self.tls
