"""One channel per address, never more than the bound, none left at the end."""

from __future__ import annotations

import asyncio

import grpc.aio
import pytest

from hyperscale.runtime.channels import ChannelPool
from hyperscale.runtime.errors import ErrorReason
from hyperscale.runtime.interceptors import error_from_rpc
from hyperscale.runtime.supervisor import Supervisor
from tests.unit.runtime.conftest import EchoNode
from tests.unit.runtime.echo import EchoStub, text


async def test_stubs_of_one_address_share_a_channel(node: EchoNode) -> None:
    assert await node.stub.Unary(text("a")) == text("a")
    assert await node.stub.Unary(text("b")) == text("b")
    assert len(node.pool) == 1


async def test_the_channel_used_longest_ago_makes_room_once_its_calls_have_ended(
    node: EchoNode, supervisor: Supervisor
) -> None:
    pool = ChannelPool(supervisor, max_channels=2)
    call = pool.stub(node.endpoint.address, EchoStub).Expand(text("?"))
    await node.service.streaming.wait()
    for number in range(1, 4):
        pool.stub(f"127.0.0.1:{number}", EchoStub)
    assert len(pool) == 2
    node.service.release.set()
    assert [response.value async for response in call] == ["?"]
    assert await call.code() is grpc.StatusCode.OK
    await pool.close()
    assert len(pool) == 0


async def test_closing_ends_calls_in_flight(node: EchoNode) -> None:
    call = node.stub.Expand(text("a?"))
    await call.read()
    await node.pool.close()
    with pytest.raises((asyncio.CancelledError, grpc.aio.AioRpcError)):
        await call.read()


async def test_a_peer_that_is_forgotten_is_connected_anew(node: EchoNode) -> None:
    await node.stub.Unary(text("a"))
    node.pool.forget(node.endpoint.address)
    node.pool.forget(node.endpoint.address)
    assert len(node.pool) == 0
    assert await node.stub.Unary(text("b")) == text("b")


async def test_nobody_listening_is_unreachable(pool: ChannelPool) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await pool.stub("127.0.0.1:1", EchoStub).Unary(text("a"))
    assert error_from_rpc(refused.value).reason is ErrorReason.PEER_UNREACHABLE
