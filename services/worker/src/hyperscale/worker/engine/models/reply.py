"""What came back, in the form in which checks and extractions look at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

HeaderFields = tuple[tuple[bytes, bytes], ...]
"""Names in lower case, in the order in which they came."""


class Response(Protocol):
    """What a step has got, over whichever protocol."""

    @property
    def status(self) -> int:
        """Status; 0 where the protocol has none."""

    @property
    def body(self) -> bytes:
        """As it came, content codings included."""

    @property
    def duration_seconds(self) -> float:
        """How long it took."""

    def values_of(self, name: bytes) -> list[bytes]:
        """Values of a header field, by its name in lower case."""


@dataclass(frozen=True, slots=True)
class CallReply:
    """What the client of a protocol got for a declared step. Which part is what, the proto message of its action says."""

    duration_seconds: float
    body: bytes = b""
    status: int = 0
    fields: HeaderFields = ()

    def values_of(self, name: bytes) -> list[bytes]:
        """See `Response`."""
        return [value for field, value in self.fields if field == name]
