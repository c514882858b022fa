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

What came back is handed to the step's checks and extractions as a `CallReply`, with `call.duration_seconds` after the block.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from types import TracebackType
from typing import Final, Protocol, Self

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.v1 import workflow_pb2
from hyperscale.worker.engine.connection import HttpConnection
from hyperscale.worker.engine.models.reply import CallReply
from hyperscale.worker.engine.recorder import Recorder
from hyperscale.worker.engine.user import RunParts
from hyperscale.workload.language.errors import RequestError
from hyperscale.workload.totals import TotalsByName

_MS_PER_SECOND: Final = 1000.0


class CallError(RequestError):
    """A call failed: a declared user goes on with its next step, code sees a `RequestError`.

    Parameters
    ----------
    reply
        What came back nevertheless, for the step's checks and extractions; None when there was nothing.
    """

    def __init__(self, failure: pb.ErrorClass.ValueType, message: str, reply: CallReply | None = None) -> None:
        name = pb.ErrorClass.Name(failure).removeprefix("ERROR_CLASS_").lower()
        super().__init__(name, f"{name}: {message}" if message else name)
        self.failure = failure
        self.reply = reply

    @property
    def took_its_time(self) -> bool:
        """Whether an answer, or the time limit, has set the pace: users need no pause after it."""
        return self.reply is not None or self.failure == pb.ERROR_CLASS_TIMEOUT


_OUT_OF_RESOURCES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM})
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
        return error.failure
    if isinstance(error, OSError) and error.errno in _OUT_OF_RESOURCES:
        return pb.ERROR_CLASS_LOCAL
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

    @contextmanager
    def session(self, protocol: str) -> Iterator[Call]:
        """As `call`, for a block in which code of a workflow runs: what that itself raises is no failure of the session."""
        call = self.call(protocol)
        call.begin()
        try:
            yield call
        except BaseException as error:
            call.end(error if isinstance(error, CallError | asyncio.CancelledError) else None)
            raise
        call.end(None)

    def reject(self, protocol: str, error_class: pb.ErrorClass.ValueType) -> None:
        """Count the call made last, which got through, as a failed one after all."""
        self._recorder.step_now(self.step_name).protocol(protocol).failures[error_class] += 1


class Call:
    """One call under way."""

    __slots__ = (
        "_counts_from",
        "_ended",
        "_protocol",
        "_received_bytes",
        "_recorder",
        "_sent_bytes",
        "_started",
        "_step_name",
    )

    def __init__(self, recorder: Recorder, step_name: str, protocol: str, counts_from: float | None = None) -> None:
        """`counts_from`: None for the time at which the block is entered."""
        self._recorder = recorder
        self._counts_from = counts_from
        self._step_name = step_name
        self._protocol = protocol
        self._started = 0.0
        self._ended: float | None = None
        self._sent_bytes = 0
        self._received_bytes = 0

    @property
    def duration_seconds(self) -> float:
        """From entering the block to leaving it, or to now."""
        return (perf_counter() if self._ended is None else self._ended) - self._started

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
        self.begin()
        return self

    def begin(self) -> None:
        """The call begins, or counts from when it was due."""
        self._started = perf_counter() if self._counts_from is None else self._counts_from

    def __exit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(error)

    def end(self, error: BaseException | None) -> None:
        """Count the call, as failed when there is an error."""
        self._ended = perf_counter()
        step = self._recorder.step_now(self._step_name)
        step.bytes_sent += self._sent_bytes
        step.bytes_received += self._received_bytes
        statistics = step.protocol(self._protocol)
        statistics.total_count += 1
        if error is None:
            statistics.duration_ms.record(self.duration_seconds * _MS_PER_SECOND)
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
    """Its certificates and server name hold for every protocol over TLS."""
    parts: RunParts
    """What all users of the run share."""

    @property
    def tls(self) -> ssl.SSLContext:
        """For every protocol over TLS; shared by all users."""
        return self.parts.connectors.network.tls


class ProtocolClient(Protocol):
    """The calls of one user over one protocol, or several protocols that are one to the user."""

    @property
    def connections(self) -> Sequence[HttpConnection]:
        """Connections whose timeouts the run looks after; none for clients that look after theirs themselves."""

    async def run(self, step: workflow_pb2.Step) -> CallReply:
        """Make the calls of a declared step, and say what came back. Raises CallError, already counted, when one failed.

        Parameters
        ----------
        step
            Its templates are filled in. A step without any is the same object every time, so that what is made of it
            can be kept.
        """

    def reject(self, error_class: pb.ErrorClass.ValueType) -> None:
        """Count the call made last as failed: what came back lacks what the step needs of it."""

    async def close(self) -> None:
        """Close what is open; called once, at the end of the user, also of an interrupted one. Must not wait for peers."""


ClientFactory = Callable[[ClientContext], ProtocolClient]
"""Usually the client's class itself."""
