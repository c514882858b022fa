"""HTTP/1.1 over one connection of one user: writes a request, says how it went, and knows whether it can take another."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Final, cast

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.worker.engine.connection import ExchangeListener
from hyperscale.worker.engine.errors import MalformedResponseError
from hyperscale.worker.engine.models.http import Answer
from hyperscale.worker.engine.models.plan import EncodedStep
from hyperscale.worker.engine.response import Framing, HeadFraming, PatientFraming, PromptFraming

_LARGEST_WAITING_BYTES: Final = 64 * 1024
"""Of a request, in our own buffer, before the loop says that it waits for the system: the default of asyncio."""

_PROXY_AUTHENTICATION: Final = 407


class Http1Connection(asyncio.Protocol):
    """An `HttpConnection` over one transport, into which the loop calls with bytes."""

    __slots__ = (
        "_first_byte",
        "_framing",
        "_is_shared",
        "_is_usual",
        "_listener",
        "_on_lost",
        "_prompts",
        "_received_bytes",
        "_rewrite",
        "_sent",
        "_started",
        "_step",
        "_transport",
        "_write",
        "is_lost",
        "is_usable",
    )

    def __init__(
        self,
        listener: ExchangeListener,
        prompts: Sequence[PromptFraming],
        *,
        is_shared: bool = False,
        rewrite: Callable[[bytes], bytes] | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        """
        Parameters
        ----------
        prompts
            By step, shared by all connections.
        is_shared
            Whether the listener has to learn of each answer which request it belongs to, in order to pass the connection on.
        rewrite
            What a proxy needs of each request in place of what the target gets.
        on_lost
            Called once, when the transport is gone.
        """
        self.is_usable = False
        """Whether a request can be sent."""
        self.is_lost = False
        """Whether the transport is gone."""
        self._listener = listener
        self._step: EncodedStep | None = None
        self._started = 0.0
        # When the system had taken a request that it could not take at once; 0 when it could.
        self._sent = 0.0
        self._first_byte = 0.0
        self._received_bytes = 0
        self._on_lost = on_lost
        self._rewrite = rewrite
        self._prompts = prompts
        # A connection that had a response in pieces is not expected to have usual ones again before one came whole.
        self._is_usual = not is_shared
        self._is_shared = is_shared
        # Of the response under way, once it is known not to be the usual one.
        self._framing: Framing | None = None

    def send(self, step: EncodedStep, now: float) -> None:
        """Write a request. The connection must be usable, and no request under way; its time counts from `now`."""
        self._step = step
        self._started = now
        self._write(step.payload)

    def serve(self, listener: ExchangeListener) -> None:
        """Report to somebody else from now on. No request may be under way."""
        self._listener = listener

    def expire(self, now: float) -> None:
        """Give up a request that has taken longer than its timeouts."""
        step = self._step
        if step is None:
            return
        limit = step.timeout_seconds if self._received_bytes else step.first_byte_timeout_seconds
        if self._started + limit <= now:
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
        self._write = self._transport.write if self._rewrite is None else self._write_rewritten
        self.is_usable = True

    def pause_writing(self) -> None:
        """Called by the loop: the system does not take the request at once; say when it has all of it."""
        self._transport.set_write_buffer_limits(high=_LARGEST_WAITING_BYTES, low=0)

    def resume_writing(self) -> None:
        """Called by the loop: the system has the whole request."""
        self._sent = perf_counter()

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
        self._ended_by_peer(pb.ERROR_CLASS_TLS if isinstance(exc, ssl.SSLError) else pb.ERROR_CLASS_RESET)
        if self._on_lost is not None:
            self._on_lost()

    def _write_rewritten(self, payload: bytes) -> None:
        assert self._rewrite is not None
        self._transport.write(self._rewrite(payload))

    def _take(self, step: EncodedStep, data: bytes, now: float) -> None:
        """Take a piece of a response that is not the usual one."""
        framing = self._framing
        if framing is None:
            framing = self._framing = _framing_for(step)
            self._first_byte = now
        self._received_bytes += len(data)
        try:
            is_whole = framing.feed(data)
        except MalformedResponseError:
            self._fail(step, pb.ERROR_CLASS_PROTOCOL)
            return
        if not is_whole:
            return
        self._is_usual = self._received_bytes == len(data) and not self._is_shared
        if framing.status == _PROXY_AUTHENTICATION and self._rewrite is not None:
            self._fail(step, pb.ERROR_CLASS_PROXY)
            return
        if self._transport.get_write_buffer_size():
            # The server answered before it had the whole request, and would take the rest of it for the next one.
            self.abort()
        elif not framing.keep_alive:
            self.close()
        self._answer(step, framing, now)

    def _answer(self, step: EncodedStep, framing: Framing, ended: float) -> None:
        answer = Answer(
            request=step,
            status=framing.status,
            fields=framing.fields,
            body=framing.body,
            started=self._started,
            sent=min(self._sent or self._started, self._first_byte),
            first_byte=self._first_byte,
            ended=ended,
            sent_bytes=len(step.payload),
            received_bytes=self._received_bytes,
        )
        self._received_bytes = 0
        self._sent = 0.0
        self._step = self._framing = None
        self._listener.on_answer(answer)

    def _ended_by_peer(self, error_class: pb.ErrorClass.ValueType = pb.ERROR_CLASS_RESET) -> None:
        self.is_usable = False
        step = self._step
        if step is None:
            return
        framing = self._framing
        if framing is not None and framing.finish():
            self._answer(step, framing, perf_counter())
        else:
            self._fail(step, error_class)

    def _fail(self, step: EncodedStep, error_class: pb.ErrorClass.ValueType) -> None:
        sent_bytes = self._sent_bytes(step)
        self.abort()
        self._report(error_class, sent_bytes)

    def _report(self, error_class: pb.ErrorClass.ValueType, sent_bytes: int) -> None:
        self._step = None
        self._listener.on_failure(error_class, sent_bytes, self._received_bytes)

    def _sent_bytes(self, step: EncodedStep) -> int:
        return max(0, len(step.payload) - self._transport.get_write_buffer_size())


def _framing_for(step: EncodedStep) -> Framing:
    if step.is_head:
        return HeadFraming()
    return PatientFraming.keeping_body() if step.keeps_body else PatientFraming()
