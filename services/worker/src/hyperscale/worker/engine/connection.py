"""One connection of one user: writes a request, says how it went, and knows whether it can take another.

At most one request is under way. Nothing here waits: the loop calls in with bytes, the listener is called with an outcome
and may send the next request from within that call.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Final, Protocol, cast

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.worker.engine.errors import MalformedResponseError
from hyperscale.worker.engine.models.plan import EncodedStep
from hyperscale.worker.engine.response import HeadFraming, ResponseFraming

_SMALL_PAYLOAD_BYTES: Final = 16 * 1024
"""Less than a transport hands to the kernel in one write."""


class ExchangeListener(Protocol):
    """Learns how the request under way ended. Times are readings of `time.perf_counter`."""

    def on_response(self, status: int, started: float, ended: float, received_bytes: int) -> None:
        """A whole response came back."""

    def on_failure(self, error_class: pb.ErrorClass.ValueType, sent_bytes: int, received_bytes: int) -> None:
        """No whole response will come back; the connection is closed."""


class HttpConnection(asyncio.Protocol):
    """HTTP/1.1 over one transport."""

    __slots__ = (
        "_framing",
        "_head_framing",
        "_listener",
        "_received_bytes",
        "_response_framing",
        "_started",
        "_step",
        "_transport",
        "is_lost",
        "is_usable",
    )

    def __init__(self, listener: ExchangeListener) -> None:
        self.is_usable = False
        """Whether a request can be sent."""
        self.is_lost = False
        """Whether the transport is gone."""
        self._listener = listener
        self._step: EncodedStep | None = None
        self._started = 0.0
        self._received_bytes = 0
        self._response_framing = ResponseFraming()
        self._head_framing: HeadFraming | None = None
        self._framing: ResponseFraming | HeadFraming = self._response_framing

    def send(self, step: EncodedStep) -> None:
        """Write a request. The connection must be usable."""
        self._step = step
        self._received_bytes = 0
        if step.is_head:
            self._framing = self._head_framing = self._head_framing or HeadFraming()
        elif self._head_framing is not None:
            self._framing = self._response_framing
        self._started = perf_counter()
        self._transport.write(step.payload)

    def expire(self, now: float) -> None:
        """Give up a request that has taken longer than its timeout."""
        step = self._step
        if step is not None and self._started + step.timeout_seconds <= now:
            self._fail(step, pb.ERROR_CLASS_TIMEOUT)

    def interrupt(self) -> None:
        """Give up the request under way, if there is one, and close once it is written: what counts as sent was sent."""
        if self._step is not None:
            self._report(pb.ERROR_CLASS_CANCELLED, len(self._step.payload))
        self.close()

    def close(self) -> None:
        """Write what is buffered, then close."""
        if self.is_usable:
            self.is_usable = False
            self._transport.close()

    def abort(self) -> None:
        """Close without writing what is buffered."""
        self.is_usable = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast("asyncio.Transport", transport)
        self.is_usable = True

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        now = perf_counter()
        step = self._step
        if step is None:
            # Nobody asked: a server says 408 before it closes an idle connection, for example.
            self.close()
            return
        self._received_bytes += len(data)
        framing = self._framing
        try:
            is_whole = framing.feed(data)
        except MalformedResponseError:
            self._fail(step, pb.ERROR_CLASS_PROTOCOL)
            return
        if not is_whole:
            return
        if not framing.keep_alive or self._is_still_writing(step):
            self.close()
        self._step = None
        self._listener.on_response(framing.status, self._started, now, self._received_bytes)

    def eof_received(self) -> bool:
        """Called by the loop; the transport then closes itself."""
        self._ended_by_peer()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self.is_lost = True
        self._ended_by_peer()

    def _ended_by_peer(self) -> None:
        self.is_usable = False
        step = self._step
        if step is None:
            return
        if not self._framing.finish():
            self._fail(step, pb.ERROR_CLASS_RESET)
            return
        self._step = None
        self._listener.on_response(self._framing.status, self._started, perf_counter(), self._received_bytes)

    def _is_still_writing(self, step: EncodedStep) -> bool:
        """Whether the server answered before it had the whole request: the rest would be taken for the next one."""
        return len(step.payload) > _SMALL_PAYLOAD_BYTES and self._transport.get_write_buffer_size() > 0

    def _fail(self, step: EncodedStep, error_class: pb.ErrorClass.ValueType) -> None:
        sent_bytes = self._sent_bytes(step)
        self.abort()
        self._report(error_class, sent_bytes)

    def _report(self, error_class: pb.ErrorClass.ValueType, sent_bytes: int) -> None:
        self._step = None
        self._listener.on_failure(error_class, sent_bytes, self._received_bytes)

    def _sent_bytes(self, step: EncodedStep) -> int:
        return max(0, len(step.payload) - self._transport.get_write_buffer_size())
