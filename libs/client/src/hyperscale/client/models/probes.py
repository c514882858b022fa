"""What one request to a URL came to."""

from __future__ import annotations

from dataclasses import dataclass

from hyperscale.v1.statistics_pb2 import ErrorClass


@dataclass(frozen=True, slots=True)
class Probe:
    """One request on a connection of its own, and how long each part of it took; None: it did not come to that.

    Parameters
    ----------
    size_bytes
        Body received.
    first_byte_ms
        From the last byte sent to the first one received.
    error_class
        None: there is a response whose status is 200 to 399.
    error
        What went wrong, in words.
    """

    total_ms: float
    status: int | None = None
    size_bytes: int = 0
    dns_ms: float | None = None
    connect_ms: float | None = None
    tls_ms: float | None = None
    first_byte_ms: float | None = None
    error_class: ErrorClass.ValueType | None = None
    error: str = ""

    @property
    def phases_ms(self) -> dict[str, float | None]:
        """The parts by name, in the order in which they come, and the whole."""
        return {
            "dns_ms": self.dns_ms,
            "connect_ms": self.connect_ms,
            "tls_ms": self.tls_ms,
            "first_byte_ms": self.first_byte_ms,
            "total_ms": self.total_ms,
        }
