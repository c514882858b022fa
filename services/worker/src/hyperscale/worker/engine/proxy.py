"""Ways through an HTTP proxy: absolute URLs for HTTP/1.1 to http://, a CONNECT tunnel for everything else."""

from __future__ import annotations

import asyncio
import base64
import re
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from hyperscale.worker.engine.models.plan import Origin
from hyperscale.worker.engine.targets import base_url

_HEAD_END: Final = b"\r\n\r\n"
_MAX_HEAD_BYTES: Final = 16 * 1024
_READ_BYTES: Final = 4096
_ACCEPTED: Final = re.compile(rb"HTTP/1\.[01] 2\d\d")


class ProxyRefusedError(OSError):
    """The proxy did not open the tunnel."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy."""

    host: str
    port: int
    authorization: str
    """Line of the header with the credentials, line break included; empty without any."""

    @staticmethod
    def of(url: str) -> Proxy | None:
        """The proxy of a job; None when it names none."""
        if not url:
            return None
        parts = urlsplit(url)
        authorization = ""
        if parts.username is not None:
            credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = f"Proxy-Authorization: Basic {base64.b64encode(credentials.encode()).decode()}\r\n"
        return Proxy(parts.hostname or "", parts.port or 80, authorization)

    def addressed(self, payload: bytes, origin: Origin) -> bytes:
        """The request to an http:// origin in the form in which the proxy takes it."""
        method, target, rest = payload.split(b" ", 2)
        line, end, fields = rest.partition(b"\r\n")
        absolute = base_url(origin).encode() + target
        return b"".join([method, b" ", absolute, b" ", line, end, self.authorization.encode(), fields])

    async def open_tunnel(self, connected: socket.socket, origin: Origin) -> None:
        """Have the proxy connect to the origin. Raises ProxyRefusedError, or OSError when the connection breaks."""
        loop = asyncio.get_running_loop()
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        request = f"CONNECT {host}:{origin.port} HTTP/1.1\r\nHost: {host}:{origin.port}\r\n{self.authorization}\r\n"
        await loop.sock_sendall(connected, request.encode())
        head = b""
        while _HEAD_END not in head:
            # Without TLS a target may speak first, and what it says is not for us.
            data = await loop.sock_recv(connected, _READ_BYTES if origin.tls else 1)
            head += data
            if not data or len(head) > _MAX_HEAD_BYTES:
                raise ProxyRefusedError("the proxy's answer has no end")
        # The target does not speak before the TLS handshake: more than the header is not a tunnel.
        if not _ACCEPTED.match(head) or not head.endswith(_HEAD_END):
            raise ProxyRefusedError(f"the proxy answers {head[:80]!r}")
