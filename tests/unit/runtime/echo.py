"""A small service with one method of each kind, to test what surrounds methods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from google.protobuf.wrappers_pb2 import StringValue

SERVICE_NAME = "hyperscale.test.EchoService"


@dataclass(slots=True)
class EchoService:
    """Echoes, after calling ``before`` with what it received."""

    before: Callable[[str], Awaitable[None]] | None = None
    received: list[str] = field(default_factory=list)
    metadata: dict[str, str | bytes] = field(default_factory=dict)
    time_remaining_seconds: float = 0.0
    streaming: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def Unary(self, request: StringValue, context: Any) -> StringValue:
        self.metadata = dict(context.invocation_metadata() or ())
        self.time_remaining_seconds = context.time_remaining()
        await self._take(request.value)
        return request

    async def Collect(self, requests: AsyncIterator[StringValue], context: Any) -> StringValue:
        values = [request.value async for request in requests]
        await self._take(",".join(values))
        return StringValue(value=",".join(values))

    async def Expand(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        """One message per character, then waits for ``release`` if the last one is a question mark."""
        try:
            for character in request.value:
                await self._take(character)
                yield StringValue(value=character)
            if request.value.endswith("?"):
                self.streaming.set()
                await self.release.wait()
        finally:
            self.closed.set()

    async def Chat(self, requests: AsyncIterator[StringValue], context: Any) -> None:
        """Written with the reader and writer interface of grpc.aio."""
        async for request in requests:
            await self._take(request.value)
            await context.write(request)

    async def _take(self, value: str) -> None:
        self.received.append(value)
        if self.before is not None:
            await self.before(value)


def add_to_server(service: EchoService, server: grpc.aio.Server) -> None:
    """What generated code would offer."""
    kinds: dict[str, tuple[Callable[..., Any], Any]] = {
        "Unary": (grpc.unary_unary_rpc_method_handler, service.Unary),
        "Collect": (grpc.stream_unary_rpc_method_handler, service.Collect),
        "Expand": (grpc.unary_stream_rpc_method_handler, service.Expand),
        "Chat": (grpc.stream_stream_rpc_method_handler, service.Chat),
    }
    handlers = {
        name: make(
            behaviour,
            request_deserializer=StringValue.FromString,
            response_serializer=StringValue.SerializeToString,
        )
        for name, (make, behaviour) in kinds.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE_NAME, handlers),))


class EchoStub:
    """What generated code would offer."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        kinds: dict[str, Callable[..., Any]] = {
            "Unary": channel.unary_unary,
            "Collect": channel.stream_unary,
            "Expand": channel.unary_stream,
            "Chat": channel.stream_stream,
        }
        callables = {
            name: make(
                f"/{SERVICE_NAME}/{name}",
                request_serializer=StringValue.SerializeToString,
                response_deserializer=StringValue.FromString,
            )
            for name, make in kinds.items()
        }
        self.Unary: grpc.aio.UnaryUnaryMultiCallable[StringValue, StringValue] = callables["Unary"]
        self.Collect: grpc.aio.StreamUnaryMultiCallable[StringValue, StringValue] = callables["Collect"]
        self.Expand: grpc.aio.UnaryStreamMultiCallable[StringValue, StringValue] = callables["Expand"]
        self.Chat: grpc.aio.StreamStreamMultiCallable[StringValue, StringValue] = callables["Chat"]


def text(value: str) -> StringValue:
    return StringValue(value=value)
