"""Where gRPC calls go: an address, and whether TLS is spoken there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_SCHEME: Final = re.compile(r"(?P<scheme>https?|grpcs?)://", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"(?P<host>[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\])(:(?P<port>\d{1,5}))?/?")
_SECURE: Final = frozenset({"https", "grpcs"})
_LARGEST_PORT: Final = 65_535


@dataclass(frozen=True, slots=True)
class GrpcOrigin:
    """A server."""

    address: str
    """Host and port."""
    tls: bool


def grpc_origin(job_target: str, target: str) -> GrpcOrigin:
    """Where a call goes: to its own target, else to that of the job, whose path does not matter.

    Raises ValueError when that says nothing; the text begins with a verb.
    """
    if target:
        if not target.lower().startswith(("grpc://", "grpcs://")):
            raise ValueError("must be grpc://host:port or grpcs://host:port")
        return _origin(target)
    if not job_target:
        raise ValueError("is required: grpc://host:port, or the job's target")
    parts = urlsplit(job_target)
    return _origin(f"{parts.scheme}://{parts.netloc}")


def _origin(url: str) -> GrpcOrigin:
    scheme = _SCHEME.match(url)
    found = _ADDRESS.fullmatch(url[scheme.end() :]) if scheme else None
    if scheme is None or found is None:
        raise ValueError("has no valid host and port")
    tls = scheme["scheme"].lower() in _SECURE
    port = int(found["port"] or (443 if tls else 80))
    if not 0 < port <= _LARGEST_PORT:
        raise ValueError("has no valid port")
    return GrpcOrigin(f"{found['host']}:{port}", tls)
