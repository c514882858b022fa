"""One connection of one user: writes a request, says how it went, and knows whether it can take another.

At most one request is under way. Nothing here waits: the loop calls in with bytes, the listener is called with an outcome
and may send the next request from within that call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import perf_counter
from typing import Protocol, cast

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.worker.engine.errors import MalformedResponseError
from hyperscale.worker.engine.models.plan import EncodedStep
from hyperscale.worker.engine.response import Framing, HeadFraming, PatientFraming, PromptFraming


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
        "_is_usual",
        "_listener",
        "_prompts",
        "_received_bytes",
        "_started",
        "_step",
        "_transport",
        "_write",
        "is_lost",
        "is_usable",
    )

    def __init__(self, listener: ExchangeListener, prompts: Sequence[PromptFraming]) -> None:
        """`prompts`: by step, shared by all connections."""
        self.is_usable = False
        """Whether a request can be sent."""
        self.is_lost = False
        """Whether the transport is gone."""
        self._listener = listener
        self._step: EncodedStep | None = None
        self._started = 0.0
        self._received_bytes = 0
        self._prompts = prompts
        # A connection that had an unusual response once is not expected to have usual ones again.
        self._is_usual = True
        # Of the response under way, once it is known not to be the usual one.
        self._framing: Framing | None = None

    def send(self, step: EncodedStep, now: float) -> None:
        """Write a request. The connection must be usable, and no request under way; its time counts from `now`."""
        self._step = step
        self._started = now
        self._write(step.payload)

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
        self._write = self._transport.write
        self.is_usable = True

    def data_received(self, data: bytes) -> None:
        """Called by the loop; the first lines are the path of a plain request (see `user`)."""
        now = perf_counter()
        step = self._step
        if step is None:
            # Nobody asked: a server says 408 before it closes an idle connection, for example.
            self.close()
            return
        if step.is_usual and self._is_usual:
            prompt = self._prompts[step.index]
            # The comparison is the hot path: between two ticks of the Date header most responses are the same bytes.
            status = prompt.known_status if data == prompt.known_response else prompt.status_of(data)
            if status:
                self._step = None
                self._listener.on_response(status, self._started, now, len(data))
                return
            self._is_usual = False
        self._take(step, data, now)

    def eof_received(self) -> bool:
        """Called by the loop; the transport then closes itself."""
        self._ended_by_peer()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self.is_lost = True
        self._ended_by_peer()

    def _take(self, step: EncodedStep, data: bytes, now: float) -> None:
        """Take a piece of a response that is not the usual one."""
        self._received_bytes += len(data)
        framing = self._framing = self._framing or (HeadFraming() if step.is_head else PatientFraming())
        try:
            is_whole = framing.feed(data)
        except MalformedResponseError:
            self._fail(step, pb.ERROR_CLASS_PROTOCOL)
            return
        if not is_whole:
            return
        if self._transport.get_write_buffer_size():
            # The server answered before it had the whole request, and would take the rest of it for the next one.
            self.abort()
        elif not framing.keep_alive:
            self.close()
        self._answer(framing.status, now)

    def _answer(self, status: int, ended: float) -> None:
        received_bytes, self._received_bytes = self._received_bytes, 0
        self._step = self._framing = None
        self._listener.on_response(status, self._started, ended, received_bytes)

    def _ended_by_peer(self) -> None:
        self.is_usable = False
        step = self._step
        if step is None:
            return
        framing = self._framing
        if framing is not None and framing.finish():
            self._answer(framing.status, perf_counter())
        else:
            self._fail(step, pb.ERROR_CLASS_RESET)

    def _fail(self, step: EncodedStep, error_class: pb.ErrorClass.ValueType) -> None:
        sent_bytes = self._sent_bytes(step)
        self.abort()
        self._report(error_class, sent_bytes)

    def _report(self, error_class: pb.ErrorClass.ValueType, sent_bytes: int) -> None:
        self._step = None
        self._listener.on_failure(error_class, sent_bytes, self._received_bytes)

    def _sent_bytes(self, step: EncodedStep) -> int:
        return max(0, len(step.payload) - self._transport.get_write_buffer_size())
