"""Around every kind of call: errors become statuses, versions are checked, metadata and deadlines are added."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import grpc
import grpc.aio
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from hyperscale.runtime.channels import ChannelPool
from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.errors import ErrorReason, FieldViolation, HyperscaleError
from hyperscale.runtime.interceptors import error_from_rpc
from hyperscale.runtime.server import NodeServer
from hyperscale.v1.protocol import (
    CAPABILITIES_METADATA_KEY,
    PROTOCOL_MAJOR,
    PROTOCOL_METADATA_KEY,
    PROTOCOL_MINOR,
)
from tests.support.waiting import PATIENCE_SECONDS
from tests.unit.runtime.conftest import EchoNode, Logs
from tests.unit.runtime.echo import SERVICE_NAME, EchoService, EchoStub, add_to_server, text

Metadata = tuple[tuple[str, str], ...]
Call = Callable[..., Awaitable[object]]


async def unary(stub: EchoStub, metadata: Metadata = ()) -> object:
    return await stub.Unary(text("a"), metadata=metadata)


async def collect(stub: EchoStub, metadata: Metadata = ()) -> object:
    return await stub.Collect(iter([text("a"), text("b")]), metadata=metadata)


async def expand(stub: EchoStub, metadata: Metadata = ()) -> object:
    return [response async for response in stub.Expand(text("ab"), metadata=metadata)]


async def chat(stub: EchoStub, metadata: Metadata = ()) -> object:
    call = stub.Chat(metadata=metadata)
    await call.write(text("a"))
    await call.done_writing()
    return [response async for response in call]


every_kind = pytest.mark.parametrize("call", [unary, collect, expand, chat])


def raising(error: Exception) -> Callable[[str], Awaitable[None]]:
    async def before(value: str) -> None:
        raise error

    return before


async def refused(call: Awaitable[object]) -> HyperscaleError:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call
    return error_from_rpc(failure.value)


@every_kind
async def test_calls_pass_through(node: EchoNode, logs: Logs, call: Call) -> None:
    assert await call(node.stub) in (text("a"), text("a,b"), [text("a"), text("b")], [text("a")])
    assert logs.lines == []


@every_kind
async def test_a_typed_error_reaches_the_caller_whole(node: EchoNode, logs: Logs, call: Call) -> None:
    node.service.before = raising(
        HyperscaleError(
            ErrorReason.INVALID_ARGUMENT,
            metadata={"field": "x"},
            violations=[FieldViolation("a.b", "must be positive"), FieldViolation("c", "is unknown")],
        )
    )
    error = await refused(call(node.stub))
    assert error.reason is ErrorReason.INVALID_ARGUMENT
    assert error.metadata == {"field": "x"}
    assert [violation.path for violation in error.violations] == ["a.b", "c"]
    (line,) = logs.lines
    assert (line["event"], line["level"], line["code"]) == ("rpc refused", "info", "INVALID_ARGUMENT")
    assert line["method"].startswith(f"/{SERVICE_NAME}/")
    assert line["peer"].startswith("ipv4:127.0.0.1")


@every_kind
async def test_an_unknown_error_tells_the_caller_only_an_id_that_the_log_explains(
    node: EchoNode, logs: Logs, call: Call
) -> None:
    node.service.before = raising(KeyError("secret text"))
    error = await refused(call(node.stub))
    assert error.reason is ErrorReason.INTERNAL
    assert "secret" not in str(error)
    (line,) = logs.lines
    assert (line["event"], line["level"]) == ("rpc failed", "error")
    assert line["error_id"] == error.metadata["error_id"]
    assert line["error_id"] in error.message
    assert line["exc_info"]


@every_kind
@pytest.mark.requirement("AD-25.1")
async def test_another_major_version_is_refused_by_name(node: EchoNode, call: Call) -> None:
    async with grpc.aio.insecure_channel(node.endpoint.address) as channel:
        error = await refused(call(EchoStub(channel), ((PROTOCOL_METADATA_KEY, "99.0"),)))
    assert error.reason is ErrorReason.PROTOCOL_MISMATCH
    assert "99.0" in error.message
    assert f"{PROTOCOL_MAJOR}.{PROTOCOL_MINOR}" in error.message
    assert node.service.received == []


@pytest.mark.requirement("AD-25.1")
@pytest.mark.parametrize("version", [f"{PROTOCOL_MAJOR}.0", f"{PROTOCOL_MAJOR}.{PROTOCOL_MINOR + 7}", None])
async def test_another_minor_version_and_none_are_served(node: EchoNode, version: str | None) -> None:
    metadata = () if version is None else ((PROTOCOL_METADATA_KEY, version),)
    async with grpc.aio.insecure_channel(node.endpoint.address) as channel:
        assert await EchoStub(channel).Unary(text("a"), metadata=metadata) == text("a")


@pytest.mark.parametrize("version", ["", "x", f"{PROTOCOL_MAJOR}x"])
async def test_a_version_that_is_none_is_refused(node: EchoNode, version: str) -> None:
    async with grpc.aio.insecure_channel(node.endpoint.address) as channel:
        error = await refused(EchoStub(channel).Unary(text("a"), metadata=((PROTOCOL_METADATA_KEY, version),)))
    assert error.reason is ErrorReason.PROTOCOL_MISMATCH


async def test_both_sides_name_version_and_capabilities(node: EchoNode) -> None:
    own = f"{PROTOCOL_MAJOR}.{PROTOCOL_MINOR}"
    unary_call = node.stub.Unary(text("a"), metadata=(("own-key", "kept"),))
    await unary_call
    assert node.service.metadata[PROTOCOL_METADATA_KEY] == own
    assert node.service.metadata["own-key"] == "kept"
    assert "watch_resume" in str(node.service.metadata[CAPABILITIES_METADATA_KEY]).split(",")
    assert (await unary_call.trailing_metadata())[PROTOCOL_METADATA_KEY] == own
    stream = node.stub.Expand(text("a?"))
    initial = await stream.initial_metadata()
    assert initial[PROTOCOL_METADATA_KEY] == own
    assert initial[CAPABILITIES_METADATA_KEY]
    stream.cancel()


async def test_calls_with_one_answer_get_a_deadline_unless_they_name_one(node: EchoNode) -> None:
    await node.stub.Unary(text("a"))
    assert 8 < node.service.time_remaining_seconds < 12
    await node.stub.Unary(text("a"), timeout=60)
    assert 55 < node.service.time_remaining_seconds < 63


async def test_a_stream_that_its_client_leaves_ends_its_handler(node: EchoNode, logs: Logs) -> None:
    call = node.stub.Expand(text("ab?"))
    await call.read()
    call.cancel()
    async with asyncio.timeout(30):
        await node.service.closed.wait()
    assert logs.lines == []


async def test_what_another_interceptor_raises_is_translated_too(logs: Logs) -> None:
    server = NodeServer(Endpoint("127.0.0.1", 0), logs.logger, interceptors=[_Shedding()])
    server.add(add_to_server, EchoService(), SERVICE_NAME)
    endpoint = await server.start()
    async with grpc.aio.insecure_channel(endpoint.address) as channel:
        for call in (unary, collect, expand, chat):
            error = await refused(call(EchoStub(channel)))
            assert error.reason is ErrorReason.OVERLOADED
            assert error.retry_after_seconds == 3
    await server.drain(0)


async def test_an_unknown_method_is_unimplemented(node: EchoNode) -> None:
    async with grpc.aio.insecure_channel(node.endpoint.address) as channel:
        unknown: grpc.aio.UnaryUnaryMultiCallable[StringValue, StringValue] = channel.unary_unary(
            f"/{SERVICE_NAME}/Nothing", StringValue.SerializeToString, StringValue.FromString
        )
        error = await refused(unknown(text("a")))
    assert error.reason is ErrorReason.UNIMPLEMENTED


class _Shedding(grpc.aio.ServerInterceptor):
    async def intercept_service(self, continuation: object, handler_call_details: object) -> None:
        raise HyperscaleError(ErrorReason.OVERLOADED, retry_after_seconds=3)


@dataclass(slots=True)
class FloodService(EchoService):
    """Has more to say than connections hold."""

    async def Expand(self, request: StringValue, context: object) -> AsyncIterator[StringValue]:
        try:
            while True:
                yield text("x" * 100_000)
        finally:
            self.closed.set()


async def test_a_caller_that_does_not_read_is_left(
    logs: Logs, pool: ChannelPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hyperscale.runtime.interceptors._SLOW_READER_SECONDS", 0.2)
    server, flood = NodeServer(Endpoint("127.0.0.1", 0), logs.logger), FloodService()
    server.add(add_to_server, flood, SERVICE_NAME)
    endpoint = await server.start()
    call = pool.stub(endpoint.address, EchoStub).Expand(text(""))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await flood.closed.wait()
        error = await refused(read(call))
    assert error.reason is ErrorReason.DEADLINE_EXCEEDED
    assert [line["event"] for line in logs.lines] == ["rpc refused"]
    await server.drain(0)


async def read(call: grpc.aio.UnaryStreamCall[StringValue, StringValue]) -> None:
    async for _ in call:
        pass
