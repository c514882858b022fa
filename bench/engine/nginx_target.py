"""nginx as a target of load."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bench.engine.machine import pin
from tests.support.nginx import CONSTANT_ANSWER, Nginx, running_nginx

CONNECTIONS = 4096


@contextmanager
def nginx_on(core: int, *, connections: int = CONNECTIONS, page: str = CONSTANT_ANSWER) -> Iterator[Nginx]:
    """Nginx on one core for the length of the block; it closes no connection that is in use."""
    with running_nginx(keepalive_requests=1_000_000_000, connections=connections, page=page) as nginx:
        pin(nginx.pid, core)
        yield nginx
