"""What a protocol client is: the calls of one virtual user, each measured as one sample of the step the user is in.

A client is made per user, when the user makes its first call over the protocol, and closed with the user. Declared
steps and code use the same clients: `run` takes a declared step, the other methods are what `self.<protocol>` offers.

A call looks like this::

    with self._measurement.call("grpc") as call:
        response = await self._channel.unary(request)
        call.sent(len(request))
        call.received(len(response))
        call.record("grpc_messages", 1.0)

It counts as failed when an exception leaves the block: with the class of a `CallError`, as CANCELLED when the user was
interrupted, and with the class `error_class_of` finds otherwise. The exception goes on.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from types import TracebackType
from typing import Final, Protocol, Self

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.v1 import workflow_pb2
from hyperscale.worker.engine.recorder import Recorder
from hyperscale.workload.totals import TotalsByName

_MS_PER_SECOND: Final = 1000.0


class CallError(Exception):
    """A call failed; the user goes on with its next step."""

    def __init__(self, error_class: pb.ErrorClass.ValueType, message: str) -> None:
        super().__init__(message)
        self.error_class = error_class


_CLASSES: Final = (
    (asyncio.CancelledError, pb.ERROR_CLASS_CANCELLED),
    (TimeoutError, pb.ERROR_CLASS_TIMEOUT),
    (socket.gaierror, pb.ERROR_CLASS_DNS),
    (ssl.SSLError, pb.ERROR_CLASS_TLS),
    (ConnectionRefusedError, pb.ERROR_CLASS_CONNECT),
    ((ConnectionError, EOFError), pb.ERROR_CLASS_RESET),
    (OSError, pb.ERROR_CLASS_CONNECT),
)
"""Special kinds before general ones."""


def error_class_of(error: BaseException) -> pb.ErrorClass.ValueType:
    """What went wrong, as far as the kind of an exception tells."""
    if isinstance(error, CallError):
        return error.error_class
    found = (error_class for kind, error_class in _CLASSES if isinstance(error, kind))
    return next(found, pb.ERROR_CLASS_EXCEPTION)


class Measurement:
    """Where the calls of one user are measured; `step_name` is the step that the user is in."""

    __slots__ = ("_counts_from", "_recorder", "step_name")

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._counts_from: float | None = None
        self.step_name = ""

    def next_counts_from(self, due: float) -> None:
        """The next call counts from when its iteration was due, a reading of `perf_counter`."""
        self._counts_from = due

    def take_due(self) -> float | None:
        """From when the call counts that begins now; None: from now."""
        counts_from, self._counts_from = self._counts_from, None
        return counts_from

    def call(self, protocol: str) -> Call:
        """Measure one call, from entering the block to leaving it. `protocol` is the prefix of its metrics."""
        return Call(self._recorder, self.step_name, protocol, self.take_due())


class Call:
    """One call under way."""

    __slots__ = ("_counts_from", "_protocol", "_received_bytes", "_recorder", "_sent_bytes", "_started", "_step_name")

    def __init__(self, recorder: Recorder, step_name: str, protocol: str, counts_from: float | None = None) -> None:
        """`counts_from`: None for the time at which the block is entered."""
        self._recorder = recorder
        self._counts_from = counts_from
        self._step_name = step_name
        self._protocol = protocol
        self._started = 0.0
        self._sent_bytes = 0
        self._received_bytes = 0

    def sent(self, size_bytes: int) -> None:
        """Bytes were sent."""
        self._sent_bytes += size_bytes

    def received(self, size_bytes: int) -> None:
        """Bytes came back."""
        self._received_bytes += size_bytes

    def count(self, metric: str, amount: int = 1) -> None:
        """Add to a counter of the protocol, such as ``ws_msgs_sent``; it counts whatever becomes of the call."""
        self._metrics().count(metric, amount)

    def record(self, metric: str, value: float) -> None:
        """Add a value, in milliseconds where it is a time, to a trend of the protocol, such as ``ws_connecting``."""
        self._metrics().record(metric, value)

    def __enter__(self) -> Self:
        self._started = perf_counter() if self._counts_from is None else self._counts_from
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ended = perf_counter()
        step = self._recorder.step_now(self._step_name)
        step.bytes_sent += self._sent_bytes
        step.bytes_received += self._received_bytes
        statistics = step.protocol(self._protocol)
        statistics.total_count += 1
        if error is None:
            statistics.duration_ms.record((ended - self._started) * _MS_PER_SECOND)
        else:
            statistics.failures[error_class_of(error)] += 1

    def _metrics(self) -> TotalsByName:
        return self._recorder.step_now(self._step_name).protocol(self._protocol).metrics


@dataclass(frozen=True, slots=True)
class ClientContext:
    """What a client is made from."""

    measurement: Measurement
    target: str
    """Base URL of the job; empty when there is none."""
    http_options: workflow_pb2.HttpOptions
    """Its proxy and the server name hold for every protocol over TCP."""
    tls: ssl.SSLContext
    """For every protocol over TLS; shared by all users."""


class ProtocolClient(Protocol):
    """The calls of one user over one protocol."""

    async def run(self, step: workflow_pb2.Step) -> None:
        """Make the calls of a declared step. Raises CallError, already counted, when one failed."""

    async def close(self) -> None:
        """Close what is open; called once, at the end of the user, also of an interrupted one. Must not wait for peers."""


ClientFactory = Callable[[ClientContext], ProtocolClient]
"""Usually the client's class itself."""
