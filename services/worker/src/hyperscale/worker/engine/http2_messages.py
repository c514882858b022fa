"""Requests and responses in the form that HTTP/2 has for them (RFC 9113, section 8)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from hyperscale.worker.engine.chunks import out_of_chunks
from hyperscale.worker.engine.errors import MalformedResponseError
from hyperscale.worker.engine.models.plan import Origin
from hyperscale.worker.engine.models.reply import HeaderFields
from hyperscale.worker.engine.requests import RequestParts
from hyperscale.worker.engine.response import MAX_BODY_BYTES

_STATUS: Final = b":status"
_LOWEST_STATUS, _HIGHEST_STATUS = 100, 999


@dataclass(frozen=True, slots=True)
class Http2Request:
    """A request, ready to be given to the library."""

    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @staticmethod
    def of(payload: bytes, origin: Origin) -> Http2Request:
        """The request that the plan, a redirect or a template has encoded."""
        parts = RequestParts.of(payload)
        authority, body = b"", parts.body
        fields: list[tuple[bytes, bytes]] = []
        for line in parts.fields:
            name, _, value = line.partition(b":")
            name, value = name.lower(), value.strip()
            if name == b"host":
                authority = value
            elif name == b"transfer-encoding":
                body = out_of_chunks(body)
            else:
                fields.append((name, value))
        scheme = b"https" if origin.tls else b"http"
        pseudo = (
            (b":method", parts.method),
            (b":scheme", scheme),
            (b":authority", authority),
            (b":path", parts.target),
        )
        return Http2Request((*pseudo, *fields), body)


@dataclass(slots=True)
class Http2Response:
    """A response as it comes in."""

    keeps_body: bool
    status: int = 0
    fields: HeaderFields = ()
    _pieces: list[bytes] = field(default_factory=list)
    _body_bytes: int = 0

    @property
    def body(self) -> bytes:
        """What was kept of it."""
        return b"".join(self._pieces)

    def begin(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        """Take the header. Raises MalformedResponseError when it has no status."""
        given = tuple(fields)
        status = next((value for name, value in given if name == _STATUS), b"")
        if not (status.isdigit() and _LOWEST_STATUS <= int(status) <= _HIGHEST_STATUS):
            raise MalformedResponseError(f"{status[:20]!r} is not a status")
        self.status = int(status)
        self.fields = tuple((bytes(name), bytes(value)) for name, value in given if not name.startswith(b":"))

    def take_body(self, piece: bytes) -> None:
        """A piece of the body."""
        missing_bytes = MAX_BODY_BYTES - self._body_bytes
        if self.keeps_body and missing_bytes > 0:
            self._pieces.append(piece[:missing_bytes])
            self._body_bytes += len(piece)
