"""What the response of a step has, by protocol: what checks can look at and extractions can take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ResponseParts:
    """What there is besides a body."""

    statuses: range | None
    """Statuses that there can be; None when there is no status."""
    has_headers: bool


HTTP_RESPONSE: Final = ResponseParts(range(100, 600), has_headers=True)
_BODY_ONLY: Final = ResponseParts(None, has_headers=False)

RESPONSES: Final[Mapping[str, ResponseParts]] = {
    "http": HTTP_RESPONSE,
    "graphql": HTTP_RESPONSE,
    "grpc": ResponseParts(range(17), has_headers=True),
    "websocket": HTTP_RESPONSE,
    "tcp": _BODY_ONLY,
    "udp": _BODY_ONLY,
}
"""By action of a step. What the status, the headers and the body are, the action's message says."""
