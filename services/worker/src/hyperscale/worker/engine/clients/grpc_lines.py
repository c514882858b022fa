"""One user's connection to one server, and the calls that are made over it. Messages are bytes here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, TypeVar

import grpc
from grpc import aio

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.worker.engine.clients.grpc_network import class_of_failure
from hyperscale.worker.engine.clients.protocol import Call, CallError
from hyperscale.workload.grpc_methods import GrpcMethod

_MS_PER_SECOND: Final = 1000.0
_SETTLED: Final = frozenset({grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE})

_LOST_STATUS: Final = "Internal error from Core"
_LATE_STATUS_SECONDS: Final = 0.25
"""How long the true status may be on its way when the library says that it lost it."""

ReadyT = TypeVar("ReadyT")
Metadata = tuple[tuple[str, str | bytes], ...]
UnaryRpc = aio.UnaryUnaryMultiCallable[bytes, bytes]
StreamRpc = aio.StreamStreamMultiCallable[bytes, bytes]


@dataclass(frozen=True, slots=True)
class CallTerms:
    """What a call is made with, beside its requests."""

    method: GrpcMethod
    metadata: Metadata
    deadline: float
    """A reading of `perf_counter`."""

    @property
    def remaining_seconds(self) -> float:
        """Time until the deadline."""
        return self.deadline - perf_counter()


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How the server ended a call."""

    status: int
    details: str
    metadata: Metadata
    """What came before and after the responses."""
    last: bytes | None = None
    """The last response; None when there was none."""


@dataclass(frozen=True, slots=True)
class _Status:
    """How a call ended, in the words of the library."""

    code: grpc.StatusCode
    details: str
    metadata: Metadata

    @property
    def is_lost(self) -> bool:
        """Whether it says nothing but that a message could not be sent any more: the call had ended before, somehow."""
        return self.code is grpc.StatusCode.INTERNAL and self.details == _LOST_STATUS


class GrpcLine:
    """A connection that is opened when it is needed."""

    def __init__(self, channel: aio.Channel) -> None:
        self.channel = channel
        self._unary: dict[str, UnaryRpc] = {}
        self._streams: dict[str, StreamRpc] = {}

    async def connect(self, deadline: float) -> float | None:
        """Wait for the connection; how long that took, None when it was open. A failure is told by the next call.

        Raises TimeoutError at the deadline, a reading of `perf_counter`.
        """
        state = self.channel.get_state(try_to_connect=True)
        if state is grpc.ChannelConnectivity.READY:
            return None
        started = perf_counter()
        async with asyncio.timeout(deadline - started):
            while state not in _SETTLED:
                await self.channel.wait_for_state_change(state)
                state = self.channel.get_state(try_to_connect=True)
        return (perf_counter() - started) * _MS_PER_SECOND

    async def ask(self, request: bytes, terms: CallTerms, call: Call) -> CallEnd:
        """A call without streams. Raises CallError when the server did not end it."""
        rpc = self._unary.get(terms.method.path)
        if rpc is None:
            rpc = self._unary[terms.method.path] = self.channel.unary_unary(terms.method.path)
        running = rpc(request, timeout=terms.remaining_seconds, metadata=terms.metadata or None)
        call.sent(len(request))
        try:
            response = await running
        except aio.AioRpcError as error:
            return end_of(error)
        call.received(len(response))
        return CallEnd(0, "", await _metadata_of(running), response)

    @asynccontextmanager
    async def stream(
        self, terms: CallTerms, call: Call, requests: Sequence[bytes] | None = None
    ) -> AsyncIterator[GrpcCallStream]:
        """A call whose sides may both stream; it is given up when the block is left before its end.

        Parameters
        ----------
        requests
            All that is to be sent, which is then sent beside; None: what is given to the stream.
        """
        rpc = self._streams.get(terms.method.path)
        if rpc is None:
            rpc = self._streams[terms.method.path] = self.channel.stream_stream(terms.method.path)
        outgoing = None if requests is None else _outgoing(requests, call)
        running = rpc(outgoing, timeout=terms.remaining_seconds, metadata=terms.metadata or None)
        call.count("grpc_streams")
        try:
            yield GrpcCallStream(running, call)
        finally:
            running.cancel()


class GrpcCallStream:
    """A call under way."""

    def __init__(self, running: aio.StreamStreamCall[bytes, bytes], call: Call) -> None:
        self.end: CallEnd | None = None
        """None until the server has ended the call."""
        self.failure: CallError | None = None
        """Why the server will not end it; None as long as nobody has come upon that."""
        self._running = running
        self._call = call
        self._last: bytes | None = None
        self._status: _Status | None = None
        self._is_settled = asyncio.Event()
        running.add_done_callback(self._note_status)

    async def send(self, request: bytes) -> bool:
        """Send a request; whether the server still takes any. Raises CallError when the connection is broken."""
        if self.end is not None:
            return False
        try:
            await self._running.write(request)
        except (aio.AioRpcError, asyncio.InvalidStateError):
            await self._conclude()
            return False
        _note_sent(request, self._call)
        return True

    async def done_sending(self) -> None:
        """Say that no request follows."""
        if self.end is not None:
            return
        try:
            await self._running.done_writing()
        except (aio.AioRpcError, asyncio.InvalidStateError):
            await self._conclude()

    async def receive(self) -> bytes | None:
        """The next response; None after the last. Raises CallError when the server did not end the call."""
        if self.end is not None:
            return None
        try:
            response = await self._running.read()
        except (aio.AioRpcError, asyncio.InvalidStateError):
            response = aio.EOF
        if not isinstance(response, bytes):
            await self._conclude()
            return None
        self._call.received(len(response))
        self._call.count("grpc_streams_msgs_received")
        self._last = response
        return response

    async def _conclude(self) -> None:
        """Note how the call has ended."""
        if self.end is not None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_LATE_STATUS_SECONDS):
                await self._is_settled.wait()
        status = self._status or _Status(grpc.StatusCode.INTERNAL, _LOST_STATUS, ())
        try:
            self.end = _judged(status, self._last)
        except CallError as error:
            self.failure = error
            raise

    def _note_status(self, running: aio.Call) -> None:
        """The library has a status: at once what it is, for a message that came too late makes it forget."""
        status = _Status(
            _value_of(running.code()),
            _value_of(running.details()) or "",
            (*_pairs(_value_of(running.initial_metadata())), *_pairs(_value_of(running.trailing_metadata()))),
        )
        if status.is_lost:
            return
        self._status = status
        self._is_settled.set()


async def _outgoing(requests: Sequence[bytes], call: Call) -> AsyncIterator[bytes]:
    """The requests, each counted when the library comes for the next one: then it has gone."""
    for request in requests:
        yield request
        _note_sent(request, call)


def _note_sent(request: bytes, call: Call) -> None:
    call.sent(len(request))
    call.count("grpc_streams_msgs_sent")


def end_of(error: aio.AioRpcError) -> CallEnd:
    """How the server ended a call that failed. Raises CallError when it was not the server."""
    metadata = (*_pairs(error.initial_metadata()), *_pairs(error.trailing_metadata()))
    return _judged(_Status(error.code(), error.details() or "", metadata), None)


def _judged(status: _Status, last: bytes | None) -> CallEnd:
    is_ok = status.code is grpc.StatusCode.OK
    failure = pb.ERROR_CLASS_STATUS if is_ok else class_of_failure(status.code, status.details)
    if failure != pb.ERROR_CLASS_STATUS:
        raise CallError(failure, status.details)
    return CallEnd(int(status.code.value[0]), status.details, status.metadata, last)


async def _metadata_of(running: aio.Call) -> Metadata:
    return (*_pairs(await running.initial_metadata()), *_pairs(await running.trailing_metadata()))


def _pairs(metadata: aio.Metadata | None) -> Iterator[tuple[str, str | bytes]]:
    return iter(metadata or ())


def _value_of(ready: Coroutine[Any, Any, ReadyT]) -> ReadyT:
    """What a coroutine returns that has nothing to wait for. Raises RuntimeError when it waits."""
    try:
        ready.send(None)
    except StopIteration as end:
        value: ReadyT = end.value
        return value
    ready.close()
    raise RuntimeError("a call that has ended has no status")
