"""A server tells its health, describes itself, drains in order, and does not listen openly by accident."""

from __future__ import annotations

import asyncio

import grpc.aio
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.errors import ConfigurationError, ErrorReason
from hyperscale.runtime.interceptors import error_from_rpc
from hyperscale.runtime.server import NodeServer
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1.protocol import MAX_MESSAGE_BYTES
from tests.unit.runtime.conftest import EchoNode, Logs
from tests.unit.runtime.echo import SERVICE_NAME, text

SERVING = HealthCheckResponse.SERVING
NOT_SERVING = HealthCheckResponse.NOT_SERVING


class HealthClient:
    """The generated stub has no types."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        codec = HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
        self.check: grpc.aio.UnaryUnaryMultiCallable[HealthCheckRequest, HealthCheckResponse] = channel.unary_unary(
            "/grpc.health.v1.Health/Check", *codec
        )
        self.watch: grpc.aio.UnaryStreamMultiCallable[HealthCheckRequest, HealthCheckResponse] = channel.unary_stream(
            "/grpc.health.v1.Health/Watch", *codec
        )


async def health(node: EchoNode, service: str) -> int:
    response = await node.pool.stub(node.endpoint.address, HealthClient).check(HealthCheckRequest(service=service))
    return int(response.status)


@pytest.mark.requirement("OPS.1")
async def test_health_follows_the_node_as_a_whole_and_per_service(node: EchoNode) -> None:
    for name in ("", SERVICE_NAME):
        assert await health(node, name) == SERVING
    await node.server.set_serving(False)
    for name in ("", SERVICE_NAME):
        assert await health(node, name) == NOT_SERVING


@pytest.mark.requirement("OPS.1")
async def test_a_server_is_unhealthy_until_told_otherwise(logs: Logs, node: EchoNode) -> None:
    server = NodeServer(Endpoint("127.0.0.1", 0), logs.logger)
    endpoint = await server.start()
    client = node.pool.stub(endpoint.address, HealthClient)
    assert (await client.check(HealthCheckRequest())).status == NOT_SERVING
    await server.drain(0)


@pytest.mark.requirement("OPS.1")
async def test_reflection_lists_the_services(node: EchoNode) -> None:
    channel = grpc.aio.insecure_channel(node.endpoint.address)
    list_services: grpc.aio.StreamStreamMultiCallable[ServerReflectionRequest, ServerReflectionResponse] = (
        channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            ServerReflectionRequest.SerializeToString,
            ServerReflectionResponse.FromString,
        )
    )
    request = ServerReflectionRequest(list_services="")
    names = {
        service.name
        async for response in list_services(iter([request]))
        for service in response.list_services_response.service
    }
    assert {SERVICE_NAME, "grpc.health.v1.Health"} <= names
    await channel.close()


@pytest.mark.requirement("OPS.1")
async def test_draining_says_so_ends_streams_for_retry_and_lets_calls_finish(
    node: EchoNode, supervisor: Supervisor
) -> None:
    entered = asyncio.Event()

    async def hold(value: str) -> None:
        if value == "slow":
            entered.set()
            await node.service.release.wait()

    node.service.before = hold
    watch = node.pool.stub(node.endpoint.address, HealthClient).watch(HealthCheckRequest())
    first = await watch.read()
    assert isinstance(first, HealthCheckResponse)
    assert first.status == SERVING
    slow = supervisor.start(_unary(node, "slow"), name="slow")
    stream = node.stub.Expand(text("a?"))
    await asyncio.gather(entered.wait(), node.service.streaming.wait())
    draining = supervisor.start(node.server.drain(10), name="drain")
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        async for _ in stream:
            pass
    error = error_from_rpc(ended.value)
    assert error.reason is ErrorReason.DRAINING
    assert error.retry_after_seconds is not None
    assert not draining.done()
    node.service.release.set()
    assert await slow == "slow"
    async with asyncio.timeout(30):
        await draining


async def test_draining_cancels_what_takes_too_long(node: EchoNode, supervisor: Supervisor) -> None:
    entered = asyncio.Event()

    async def hang(value: str) -> None:
        entered.set()
        await asyncio.Event().wait()

    node.service.before = hang
    stuck = supervisor.start(_unary(node, "stuck"), name="stuck")
    await entered.wait()
    async with asyncio.timeout(30):
        await node.server.drain(0.05)
    with pytest.raises(grpc.aio.AioRpcError):
        await stuck


async def _unary(node: EchoNode, value: str) -> str:
    return (await node.stub.Unary(text(value))).value


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "node.example"])
def test_listening_openly_without_encryption_must_be_said(logs: Logs, host: str) -> None:
    with pytest.raises(ConfigurationError, match="insecure"):
        NodeServer(Endpoint(host, 0), logs.logger)


async def test_listening_openly_is_possible_when_said(logs: Logs) -> None:
    server = NodeServer(Endpoint("0.0.0.0", 0), logs.logger, insecure=True)
    assert (await server.start()).port > 0
    await server.drain(0)


async def test_a_port_in_use_is_a_configuration_error(logs: Logs, node: EchoNode) -> None:
    server = NodeServer(node.endpoint, logs.logger)
    with pytest.raises(ConfigurationError, match="in use"):
        await server.start()
    await server.drain(0)


async def test_messages_up_to_the_limit_pass_and_larger_ones_are_refused(node: EchoNode) -> None:
    fitting = "x" * (MAX_MESSAGE_BYTES - 100)
    assert (await node.stub.Unary(text(fitting))).value == fitting
    async with grpc.aio.insecure_channel(node.endpoint.address, [("grpc.max_send_message_length", -1)]) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await type(node.stub)(channel).Unary(text("x" * (MAX_MESSAGE_BYTES + 1)))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
