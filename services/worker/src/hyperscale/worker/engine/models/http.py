"""What happened to one HTTP request. Times are readings of `time.perf_counter`."""

from __future__ import annotations

from dataclasses import dataclass

from hyperscale.worker.engine.models.plan import EncodedStep
from hyperscale.worker.engine.models.reply import HeaderFields

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class ConnectPhases:
    """How long a request waited for its connection."""

    blocked_seconds: float
    """From the wish to the connection, the other phases included."""
    connecting_seconds: float
    """0 when the connection was open already."""
    tls_seconds: float | None
    """None without TLS."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response that somebody has to look at."""

    request: EncodedStep
    """What was sent."""
    status: int
    fields: HeaderFields
    body: bytes
    """As it came, content codings included; empty unless the request keeps it."""
    started: float
    sent: float
    """When the system had taken the whole request."""
    first_byte: float
    ended: float
    sent_bytes: int
    received_bytes: int

    @property
    def duration_seconds(self) -> float:
        """From the first byte sent to the last byte received."""
        return self.ended - self.started

    def values_of(self, name: bytes) -> list[bytes]:
        """Values of a header field, by its name in lower case."""
        return [value for field, value in self.fields if field == name]

    @property
    def redirect_location(self) -> bytes | None:
        """Where the response sends the client; None when it does not."""
        locations = self.values_of(b"location") if self.status in _REDIRECTS else []
        return locations[0] if locations else None
