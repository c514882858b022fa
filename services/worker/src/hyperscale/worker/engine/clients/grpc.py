"""gRPC calls, over the asyncio half of grpcio. What a declared step sends is encoded once."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, Unpack

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.v1 import workflow_pb2
from hyperscale.worker.engine.clients.grpc_book import GrpcBook
from hyperscale.worker.engine.clients.grpc_lines import CallEnd, CallTerms, GrpcCallStream, GrpcLine, Metadata
from hyperscale.worker.engine.clients.protocol import Call, CallError, ClientContext
from hyperscale.worker.engine.connection import HttpConnection
from hyperscale.worker.engine.inspection import is_inspected
from hyperscale.worker.engine.models.reply import CallReply
from hyperscale.workload.defaults import REQUEST_TIMEOUT_SECONDS, call_timeout_seconds
from hyperscale.workload.grpc_methods import GrpcMethod, GrpcRequestError, GrpcResponseError
from hyperscale.workload.grpc_targets import GrpcOrigin
from hyperscale.workload.language.grpc import GrpcMessage, GrpcOptions, GrpcResponse

_PROTOCOL: Final = "grpc"
_BINARY: Final = "-bin"
_METADATA_NAME: Final = re.compile(r"[a-z0-9_.-]+")
_ONLY_OK: Final = frozenset({0})
_UNCONNECTED: Final = frozenset({pb.ERROR_CLASS_DNS, pb.ERROR_CLASS_CONNECT, pb.ERROR_CLASS_TLS})
"""Failures of a connection to the server itself."""
_KINDS: Final = {
    (False, False): "unary",
    (False, True): "server_stream",
    (True, False): "client_stream",
    (True, True): "bidi_stream",
}
"""By whether client and server stream."""
_Encode = Callable[[GrpcMethod], tuple[bytes, ...]]


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a call is to be, as far as that is known without its server."""

    target: str
    method: str
    metadata: Metadata
    timeout_seconds: float
    expected_statuses: frozenset[int]
    encode: _Encode
    """The requests that are sent at the beginning. May raise GrpcRequestError."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """A call that only has to be made."""

    origin: GrpcOrigin
    line: GrpcLine
    terms: CallTerms
    requests: tuple[bytes, ...]
    connecting_ms: float | None
    """None when the connection was open."""


class _UnexpectedStatusError(CallError):
    """The server ended the call with a status that counts as failure."""

    def __init__(self, end: CallEnd, reply: CallReply | None = None) -> None:
        super().__init__(pb.ERROR_CLASS_STATUS, f"{end.status} {end.details}".strip(), reply)


class _DeclaredCall:
    """The call of a step; what it sends is kept."""

    def __init__(self, step: workflow_pb2.Step) -> None:
        """Raises GrpcRequestError for metadata that cannot be sent: what came into the place of a template may be anything."""
        self.step = step
        self.is_inspected = is_inspected(step)
        declared = step.grpc
        self.wish = _Wish(
            target=declared.target,
            method=declared.method,
            metadata=_metadata({name: _declared_value(name, value) for name, value in declared.metadata.items()}),
            timeout_seconds=call_timeout_seconds(declared),
            expected_statuses=frozenset(declared.expected_statuses) or _ONLY_OK,
            encode=self._encode,
        )
        self._requests: tuple[bytes, ...] | None = None

    def _encode(self, method: GrpcMethod) -> tuple[bytes, ...]:
        if self._requests is None:
            self._requests = method.encode_declared(self.step.grpc.request)
        return self._requests

    def reply(self, method: GrpcMethod, end: CallEnd, duration_seconds: float) -> CallReply:
        """What checks and extractions see."""
        if not self.is_inspected:
            return CallReply(duration_seconds, status=end.status)
        content = None if end.last is None else _decoded(method, end.last)
        body = b"" if content is None else json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
        fields = tuple((name.encode(), _text(value)) for name, value in end.metadata)
        return CallReply(duration_seconds, body, end.status, fields)


class UserGrpc:
    """The calls of one user, over one connection per server."""

    def __init__(self, context: ClientContext) -> None:
        self._context = context
        self._book = context.parts.commons.get(GrpcBook, lambda: GrpcBook(context))
        self._lines: dict[GrpcOrigin, GrpcLine] = {}
        self._declared: dict[str, _DeclaredCall] = {}
        """Compiled last, by step."""

    @property
    def connections(self) -> Sequence[HttpConnection]:
        """None: calls look after their time limits themselves."""
        return ()

    async def run(self, step: workflow_pb2.Step) -> CallReply:
        """Make the call of a step. Raises CallError, already counted."""
        declared = self._declared.get(step.name)
        if declared is None or declared.step is not step:
            try:
                declared = self._declared[step.name] = _DeclaredCall(step)
            except GrpcRequestError as error:
                raise self._counted(self._unmade(step.grpc.method, error)) from error
        ready = await self._ready(declared.wish)
        with self._context.measurement.call(_PROTOCOL) as call, self._blaming(ready.origin):
            end = await _made(ready, call)
            reply = declared.reply(ready.terms.method, end, call.duration_seconds)
            if end.status not in declared.wish.expected_statuses:
                raise _UnexpectedStatusError(end, reply)
        return reply

    def reject(self, error_class: pb.ErrorClass.ValueType) -> None:
        """Count the call made last as failed."""
        self._context.measurement.reject(_PROTOCOL, error_class)

    async def close(self) -> None:
        """Close the connections."""
        for line in self._lines.values():
            await line.channel.close(grace=None)

    async def unary(
        self, method: str, message: GrpcMessage | None = None, **options: Unpack[GrpcOptions]
    ) -> GrpcResponse:
        """See `hyperscale.workload.GrpcClient`."""
        wish = _wish(method, options, lambda known: (_encoded(_of_kind(known), message),))
        ready = await self._ready(wish)
        expected = True
        try:
            with self._context.measurement.call(_PROTOCOL) as call, self._blaming(ready.origin):
                _note_connecting(ready, call)
                end = await ready.line.ask(ready.requests[0], ready.terms, call)
                if end.status not in wish.expected_statuses:
                    raise _UnexpectedStatusError(end)
        except _UnexpectedStatusError:
            expected = False
        return GrpcResponse(end, ready.terms.method.decode, call.duration_seconds, expected=expected)

    def server_stream(
        self, method: str, message: GrpcMessage | None = None, **options: Unpack[GrpcOptions]
    ) -> AbstractAsyncContextManager[OpenGrpcStream]:
        """See `hyperscale.workload.GrpcClient`."""

        def encode(known: GrpcMethod) -> tuple[bytes, ...]:
            return (_encoded(_of_kind(known, server_streaming=True), message),)

        return self._stream(_wish(method, options, encode))

    def client_stream(self, method: str, **options: Unpack[GrpcOptions]) -> AbstractAsyncContextManager[OpenGrpcStream]:
        """See `hyperscale.workload.GrpcClient`."""

        def encode(known: GrpcMethod) -> tuple[bytes, ...]:
            _of_kind(known, client_streaming=True)
            return ()

        return self._stream(_wish(method, options, encode))

    def bidi_stream(self, method: str, **options: Unpack[GrpcOptions]) -> AbstractAsyncContextManager[OpenGrpcStream]:
        """See `hyperscale.workload.GrpcClient`."""

        def encode(known: GrpcMethod) -> tuple[bytes, ...]:
            _of_kind(known, client_streaming=True, server_streaming=True)
            return ()

        return self._stream(_wish(method, options, encode))

    @asynccontextmanager
    async def _stream(self, wish: _Wish) -> AsyncIterator[OpenGrpcStream]:
        ready = await self._ready(wish)
        known: CallError | None = None
        try:
            with self._context.measurement.session(_PROTOCOL) as call, self._blaming(ready.origin):
                _note_connecting(ready, call)
                requests = None if ready.terms.method.client_streaming else ready.requests
                async with ready.line.stream(ready.terms, call, requests) as stream:
                    opened = OpenGrpcStream(stream, ready.terms.method)
                    yield opened
                    known = await opened.finish(wish.expected_statuses)
                    if known is not None:
                        raise known
        except CallError as error:
            # The code knows already what is counted here.
            if error is not known:
                raise

    async def _ready(self, wish: _Wish) -> _Ready:
        """Find out what the call is, and connect. Raises CallError, already counted, when it cannot be made."""
        deadline = perf_counter() + wish.timeout_seconds
        try:
            origin = self._book.origin(wish.target)
            line = self._line(origin)
            connecting_ms = await line.connect(deadline)
            with self._blaming(origin):
                async with asyncio.timeout(deadline - perf_counter()):
                    method = await self._book.method(line, origin, wish.method, wish.metadata)
            terms = CallTerms(method, wish.metadata, deadline)
            return _Ready(origin, line, terms, wish.encode(method), connecting_ms)
        except CallError as error:
            failure = error
        except TimeoutError:
            failure = CallError(pb.ERROR_CLASS_TIMEOUT, f"not connected within {wish.timeout_seconds:g} s")
        except GrpcRequestError as error:
            failure = self._unmade(wish.method, error)
        raise self._counted(failure)

    def _unmade(self, method: str, error: GrpcRequestError) -> CallError:
        """The failure of a call that cannot be made; the user of the suite is told why."""
        text = f"{method}: {error}"
        self._context.parts.recorder.note_error(self._context.measurement.step_name, text)
        return CallError(pb.ERROR_CLASS_REQUEST, text)

    def _counted(self, failure: CallError) -> CallError:
        """The failure of a call that was not made, counted."""
        with suppress(CallError), self._context.measurement.call(_PROTOCOL):
            raise failure
        return failure

    @contextmanager
    def _blaming(self, origin: GrpcOrigin) -> Iterator[None]:
        """Keep to where there was no connection."""
        try:
            yield
        except CallError as error:
            if error.failure in _UNCONNECTED:
                self._context.parts.recorder.unreachable(origin.address, error.failure)
            raise

    def _line(self, origin: GrpcOrigin) -> GrpcLine:
        line = self._lines.get(origin)
        if line is None:
            line = self._lines[origin] = GrpcLine(self._book.network.channel(origin))
        return line


class OpenGrpcStream:
    """A streaming call of a workflow's code."""

    def __init__(self, stream: GrpcCallStream, method: GrpcMethod) -> None:
        self._stream = stream
        self._method = method

    @property
    def status(self) -> int | None:
        """See `hyperscale.workload.GrpcStream`."""
        return None if self._stream.end is None else self._stream.end.status

    async def send(self, message: GrpcMessage) -> bool:
        """See `hyperscale.workload.GrpcStream`."""
        if not self._method.client_streaming:
            raise TypeError(f"nothing can be sent: the client of {self._method.path[1:]} does not stream")
        return await self._stream.send(_encoded(self._method, message))

    async def done(self) -> None:
        """See `hyperscale.workload.GrpcStream`."""
        if self._method.client_streaming:
            await self._stream.done_sending()

    async def receive(self) -> dict[str, Any] | None:
        """See `hyperscale.workload.GrpcStream`."""
        data = await self._stream.receive()
        return None if data is None else _decoded(self._method, data)

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        """See `hyperscale.workload.GrpcStream`."""
        while (message := await self.receive()) is not None:
            yield message

    async def finish(self, expected_statuses: frozenset[int]) -> CallError | None:
        """Receive what is left; what the call failed of, as far as the code can know it. Raises what it cannot."""
        stream = self._stream
        if stream.failure is not None:
            return stream.failure
        if self._method.client_streaming:
            await self.done()
            while await stream.receive() is not None:
                continue
        if stream.end is None or stream.end.status in expected_statuses:
            return None
        return _UnexpectedStatusError(stream.end)


async def _made(ready: _Ready, call: Call) -> CallEnd:
    """Make a declared call."""
    _note_connecting(ready, call)
    method = ready.terms.method
    if not (method.client_streaming or method.server_streaming):
        return await ready.line.ask(ready.requests[0], ready.terms, call)
    async with ready.line.stream(ready.terms, call, ready.requests) as stream:
        while await stream.receive() is not None:
            continue
    if stream.end is None:
        raise CallError(pb.ERROR_CLASS_RESET, "the call ended without a status")
    return stream.end


def _note_connecting(ready: _Ready, call: Call) -> None:
    if ready.connecting_ms is not None:
        call.record("grpc_connecting", ready.connecting_ms)


def _wish(method: str, options: GrpcOptions, encode: _Encode) -> _Wish:
    metadata = options.get("metadata")
    return _Wish(
        target=options.get("target", ""),
        method=method,
        metadata=_metadata(metadata) if metadata else (),
        timeout_seconds=options.get("timeout_seconds", REQUEST_TIMEOUT_SECONDS),
        expected_statuses=frozenset(options.get("expected_statuses", ())) or _ONLY_OK,
        encode=encode,
    )


def _of_kind(method: GrpcMethod, *, client_streaming: bool = False, server_streaming: bool = False) -> GrpcMethod:
    """The method, when it is of the kind that is asked for. Raises GrpcRequestError."""
    if (method.client_streaming, method.server_streaming) != (client_streaming, server_streaming):
        raise GrpcRequestError(f"is called with `{_KINDS[method.client_streaming, method.server_streaming]}`")
    return method


def _encoded(method: GrpcMethod, message: GrpcMessage | None) -> bytes:
    if message is None:
        return b""
    return method.encode(message) if isinstance(message, Mapping) else message.SerializeToString()


def _decoded(method: GrpcMethod, data: bytes) -> dict[str, Any]:
    try:
        return method.decode(data)
    except GrpcResponseError as error:
        raise CallError(pb.ERROR_CLASS_PROTOCOL, f"the response of {method.path[1:]} {error}") from error


def _metadata(metadata: Mapping[str, str | bytes]) -> Metadata:
    """Metadata that can be sent. Raises GrpcRequestError."""
    for name, value in metadata.items():
        is_sendable = isinstance(value, bytes) if name.endswith(_BINARY) else _is_printable(value)
        if not (_METADATA_NAME.fullmatch(name) and is_sendable):
            raise GrpcRequestError(
                f"metadata {name!r} cannot be sent: a name in lower case, and printable ASCII, or bytes where it ends in '-bin'"
            )
    return tuple(metadata.items())


def _is_printable(value: str | bytes) -> bool:
    return isinstance(value, str) and value.isascii() and (value.isprintable() or not value)


def _declared_value(name: str, value: str) -> str | bytes:
    if not name.endswith(_BINARY):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except ValueError as error:
        raise GrpcRequestError(f"metadata {name!r} is not base64") from error


def _text(value: str | bytes) -> bytes:
    """As header conditions compare it: binary values in base64."""
    return base64.b64encode(value) if isinstance(value, bytes) else value.encode()
