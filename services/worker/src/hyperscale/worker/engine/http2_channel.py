"""Where one user sends its requests over HTTP/2: an `HttpConnection` on an `Http2Connection`."""

from __future__ import annotations

import asyncio

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.worker.engine.connection import ExchangeListener
from hyperscale.worker.engine.http2_connection import Http2Connection
from hyperscale.worker.engine.http2_messages import Http2Request, Http2Response
from hyperscale.worker.engine.models.http import Answer
from hyperscale.worker.engine.models.plan import EncodedStep, Origin
from hyperscale.worker.engine.models.reply import HeaderFields


class Http2Channel:
    """One request after the other, each on a stream of its own."""

    __slots__ = (
        "_connection",
        "_first_byte",
        "_heard_before",
        "_listener",
        "_number",
        "_response",
        "_sent",
        "_started",
        "_step",
    )

    def __init__(self, connection: Http2Connection, listener: ExchangeListener) -> None:
        self._connection = connection
        self._listener = listener
        self._step: EncodedStep | None = None
        self._number: int | None = None
        self._response = Http2Response(keeps_body=False)
        self._started = 0.0
        # When the peer had last said anything before the request was sent, which may be after it was due.
        self._heard_before = 0.0
        # When the system had taken a request that it could not take at once; 0 when it could.
        self._sent = 0.0
        self._first_byte = 0.0

    @staticmethod
    def protocol(origin: Origin) -> Http2Connection:
        """What the loop is to call for a transport; a channel is then made of it."""
        return Http2Connection(origin)

    @property
    def is_usable(self) -> bool:
        """See `HttpConnection`."""
        return self._connection.is_usable

    @property
    def is_lost(self) -> bool:
        """See `HttpConnection`."""
        return self._connection.is_lost

    def send(self, step: EncodedStep, now: float) -> None:
        """See `HttpConnection`."""
        self._step = step
        self._started = now
        self._heard_before = self._connection.heard_at
        self._sent = self._first_byte = 0.0
        self._response = Http2Response(step.keeps_body)
        self._number = self._connection.open_stream(self, Http2Request.of(step.payload, self._connection.origin))
        if self._number is None:
            # Not from within the call: who sends is not ready to hear how it went.
            asyncio.get_running_loop().call_soon(self.on_failure, pb.ERROR_CLASS_PROTOCOL)

    def serve(self, listener: ExchangeListener) -> None:
        """See `HttpConnection`."""
        self._listener = listener

    def expire(self, now: float) -> None:
        """See `HttpConnection`. A peer that has said nothing meanwhile is taken for dead."""
        step = self._step
        if step is None:
            return
        limit = step.timeout_seconds if self._first_byte else step.first_byte_timeout_seconds
        if self._started + limit > now:
            return
        if self._connection.heard_at == self._heard_before:
            self._connection.distrust()
        self.on_failure(pb.ERROR_CLASS_TIMEOUT)

    def interrupt(self) -> None:
        """See `HttpConnection`."""
        self.on_failure(pb.ERROR_CLASS_CANCELLED)
        self.close()

    def close(self) -> None:
        """See `HttpConnection`."""
        self._connection.retire()

    def abort(self) -> None:
        """See `HttpConnection`."""
        self._connection.abort()

    def on_interim(self, now: float) -> None:
        """See `Stream`."""
        self._first_byte = self._first_byte or now

    def on_head(self, fields: HeaderFields, now: float) -> None:
        """See `Stream`."""
        self._first_byte = self._first_byte or now
        self._response.begin(fields)

    def on_body(self, piece: bytes) -> None:
        """See `Stream`."""
        self._response.take_body(piece)

    def on_sent(self, now: float) -> None:
        """See `Stream`."""
        self._sent = now

    def on_end(self, now: float) -> None:
        """See `Stream`."""
        step = self._step
        if step is None:
            return
        sent_bytes, received_bytes = self._leave()
        answer = Answer(
            request=step,
            status=self._response.status,
            fields=self._response.fields,
            body=self._response.body,
            started=self._started,
            sent=min(self._sent or self._started, self._first_byte),
            first_byte=self._first_byte,
            ended=now,
            sent_bytes=sent_bytes,
            received_bytes=received_bytes,
        )
        self._listener.on_answer(answer)

    def on_failure(self, error_class: pb.ErrorClass.ValueType) -> None:
        """See `Stream`."""
        if self._step is None:
            return
        sent_bytes, received_bytes = self._leave()
        self._listener.on_failure(error_class, sent_bytes, received_bytes)

    def _leave(self) -> tuple[int, int]:
        number, self._number, self._step = self._number, None, None
        return (0, 0) if number is None else self._connection.leave(number)
