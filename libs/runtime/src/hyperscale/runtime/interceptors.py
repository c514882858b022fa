"""What happens around every call: errors become statuses, versions are checked, failures are logged once."""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeAlias, TypeVar

import grpc
import grpc.aio
from structlog.typing import FilteringBoundLogger

from hyperscale.runtime._protocol import PROTOCOL_METADATA, protocol_fault
from hyperscale.runtime._status import DETAILS_METADATA_KEY, encode_status, error_from_rpc, public_message
from hyperscale.runtime.errors import ErrorReason, HyperscaleError

__all__ = ["NodeServerInterceptor", "answer_of", "client_interceptors", "error_from_rpc"]

AnswerT = TypeVar("AnswerT")

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Behaviour: TypeAlias = "Callable[[Any, _Context], Any]"

_SLOW_READER_SECONDS = 60.0
"""How long a message waits for a caller that does not read: its connection lives on, whatever its program does."""


async def answer_of(call: Awaitable[AnswerT]) -> AnswerT:
    """The answer to a call; raises the `HyperscaleError` that the peer raised, or the closest one."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise error_from_rpc(error) from error


class NodeServerInterceptor(grpc.aio.ServerInterceptor):
    """The outermost interceptor of a server; nothing that a handler raises passes it untranslated."""

    def __init__(self, logger: FilteringBoundLogger) -> None:
        self._logger = logger
        self._streams: set[asyncio.Task[Any]] = set()
        self._draining: set[asyncio.Task[Any]] = set()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """Wrap the handler of one call."""
        method = handler_call_details.method
        fault = protocol_fault(handler_call_details.invocation_metadata)
        if fault is not None:
            return self._refusing(method, fault)
        try:
            handler = await continuation(handler_call_details)
        except HyperscaleError as error:
            return self._refusing(method, error)
        return None if handler is None else self._wrapped(method, handler)

    def close_streams(self) -> None:
        """End every open stream with DRAINING, so that its client goes to another node."""
        for task in self._streams - self._draining:
            self._draining.add(task)
            task.cancel()

    def _refusing(self, method: str, error: HyperscaleError) -> _Handler:
        async def refuse(requests: object, context: _Context) -> None:
            async with self._translated(method, context):
                raise error

        # A stream handler reads no message unless it wants to, so it can refuse calls of every kind.
        return grpc.stream_stream_rpc_method_handler(refuse)

    def _wrapped(self, method: str, handler: _Handler) -> _Handler:
        if handler.response_streaming:
            streaming = self._stream(method, handler.stream_stream or handler.unary_stream)
            make = (
                grpc.stream_stream_rpc_method_handler
                if handler.request_streaming
                else grpc.unary_stream_rpc_method_handler
            )
            return make(streaming, handler.request_deserializer, handler.response_serializer)
        answering = self._answer(method, handler.stream_unary or handler.unary_unary)
        make = (
            grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
        )
        return make(answering, handler.request_deserializer, handler.response_serializer)

    def _answer(self, method: str, behaviour: Any) -> _Behaviour:
        async def answer(request: Any, context: _Context) -> Any:
            context.set_trailing_metadata(PROTOCOL_METADATA)
            async with self._translated(method, context):
                return await behaviour(request, context)

        return answer

    def _stream(self, method: str, behaviour: Any) -> _Behaviour:
        async def stream(request: Any, context: _Context) -> None:
            context.set_trailing_metadata(PROTOCOL_METADATA)
            async with self._translated(method, context), self._drainable():
                await context.send_initial_metadata(PROTOCOL_METADATA)
                responses = behaviour(request, context)
                if inspect.isawaitable(responses):
                    await responses
                    return
                async with aclosing(responses):
                    async for response in responses:
                        await _write(context, response)

        return stream

    @asynccontextmanager
    async def _drainable(self) -> AsyncIterator[None]:
        """Let `close_streams` end the stream that runs inside."""
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if task not in self._draining:
                raise
            task.uncancel()
            raise HyperscaleError(ErrorReason.DRAINING) from None
        finally:
            self._streams.discard(task)
            self._draining.discard(task)

    @asynccontextmanager
    async def _translated(self, method: str, context: _Context) -> AsyncIterator[None]:
        clock = asyncio.get_running_loop().time
        started_at = clock()
        logger = self._logger.bind(method=method, peer=context.peer())
        try:
            yield
        except grpc.aio.AbortError:
            raise
        except HyperscaleError as error:
            code, detail = error.status.name, str(error)
            logger.info("rpc refused", code=code, reason=error.reason, detail=detail, seconds=clock() - started_at)
            await context.abort(*_abort_arguments(error))
        except Exception:
            hidden = HyperscaleError(ErrorReason.INTERNAL, metadata={"error_id": uuid.uuid4().hex[:12]})
            logger.exception("rpc failed", code="INTERNAL", **hidden.metadata, seconds=clock() - started_at)
            await context.abort(*_abort_arguments(hidden))


async def _write(context: _Context, response: object) -> None:
    try:
        async with asyncio.timeout(_SLOW_READER_SECONDS):
            await context.write(response)
    except TimeoutError as error:
        raise HyperscaleError(ErrorReason.DEADLINE_EXCEEDED, "the caller does not read what it asked for") from error


def _abort_arguments(error: HyperscaleError) -> tuple[grpc.StatusCode, str, tuple[tuple[str, str | bytes], ...]]:
    details = (DETAILS_METADATA_KEY, encode_status(error).SerializeToString())
    return error.status, public_message(error), (*PROTOCOL_METADATA, details)


_Requests: TypeAlias = AsyncIterable[Any] | Iterable[Any]


def client_interceptors(default_deadline_seconds: float) -> tuple[grpc.aio.ClientInterceptor, ...]:
    """Interceptors of a channel: they name our protocol, and give a deadline to calls with one answer and without one.

    Streams have no default deadline: they last as long as both sides live.
    """
    # gRPC sorts each interceptor into one kind of call only, so there is one object per kind.
    return (
        _UnaryUnary(default_deadline_seconds),
        _StreamUnary(default_deadline_seconds),
        _UnaryStream(),
        _StreamStream(),
    )


class _UnaryUnary(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, deadline_seconds: float) -> None:
        self._deadline_seconds = deadline_seconds

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(_completed(client_call_details, self._deadline_seconds), request)


class _StreamUnary(grpc.aio.StreamUnaryClientInterceptor):
    def __init__(self, deadline_seconds: float) -> None:
        self._deadline_seconds = deadline_seconds

    async def intercept_stream_unary(
        self,
        continuation: Callable[..., Any],
        client_call_details: grpc.aio.ClientCallDetails,
        request_iterator: _Requests,
    ) -> Any:
        return await continuation(_completed(client_call_details, self._deadline_seconds), request_iterator)


class _UnaryStream(grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(_completed(client_call_details, None), request)


class _StreamStream(grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(
        self,
        continuation: Callable[..., Any],
        client_call_details: grpc.aio.ClientCallDetails,
        request_iterator: _Requests,
    ) -> Any:
        return await continuation(_completed(client_call_details, None), request_iterator)


def _completed(details: grpc.aio.ClientCallDetails, deadline_seconds: float | None) -> grpc.aio.ClientCallDetails:
    metadata = grpc.aio.Metadata(*(details.metadata or ()))
    for key, value in PROTOCOL_METADATA:
        metadata[key] = value
    return grpc.aio.ClientCallDetails(
        method=details.method,
        timeout=deadline_seconds if details.timeout is None else details.timeout,
        metadata=metadata,
        credentials=details.credentials,
        wait_for_ready=details.wait_for_ready,
    )
