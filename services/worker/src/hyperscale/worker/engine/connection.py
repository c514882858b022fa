"""What a connection is to those who send requests over it, whichever version of HTTP it speaks.

At most one request is under way. Nothing here waits: the listener is called with an outcome and may send the next request
from within that call.
"""

from __future__ import annotations

from typing import Protocol

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.worker.engine.models.http import Answer
from hyperscale.worker.engine.models.plan import EncodedStep


class ExchangeListener(Protocol):
    """Learns how the request under way ended. Times are readings of `time.perf_counter`."""

    def on_response(self, status: int, started: float, ended: float, received_bytes: int) -> None:
        """A whole response came back, of which the status is all that matters."""

    def on_answer(self, answer: Answer) -> None:
        """A whole response came back, in pieces or with something to look at."""

    def on_failure(self, error_class: pb.ErrorClass.ValueType, sent_bytes: int, received_bytes: int) -> None:
        """No whole response will come back."""


class HttpConnection(Protocol):
    """Where one user sends its requests, one after the other."""

    @property
    def is_usable(self) -> bool:
        """Whether a request can be sent."""

    @property
    def is_lost(self) -> bool:
        """Whether the transport is gone."""

    def send(self, step: EncodedStep, now: float) -> None:
        """Write a request. The connection must be usable, and no request under way; its time counts from `now`."""

    def serve(self, listener: ExchangeListener) -> None:
        """Report to somebody else from now on. No request may be under way."""

    def expire(self, now: float) -> None:
        """Give up a request that has taken longer than its timeouts."""

    def interrupt(self) -> None:
        """Give up the request under way, if there is one, and close once it is written: what counts as sent was sent."""

    def close(self) -> None:
        """Write what is buffered, then close."""

    def abort(self) -> None:
        """Close without writing what is buffered."""
