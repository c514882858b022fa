"""Gates and managers are asked at once; silence is an answer."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from hyperscale.client import Client, ClientSettings, NotAGateError
from hyperscale.v1.dispatch_pb2 import JobCancelRequest, JobCancelResponse, JobDispatch
from hyperscale.v1.gate_service_pb2 import WorkflowQueryRequest
from hyperscale.v1.job_pb2 import JobAck
from hyperscale.v1.manager_service_pb2 import ManagerPingResponse, WorkflowQueryResponse
from hyperscale.v1.manager_service_pb2_grpc import ManagerServiceServicer, add_ManagerServiceServicer_to_server
from hyperscale.v1.node_pb2 import PingRequest
from tests.integration.client.scripted_gate import Context, Script, serving

QUICK = ClientSettings(connect_timeout_seconds=1.0)


class PingableManager(ManagerServiceServicer):
    async def SubmitJob(self, request: JobDispatch, context: Context) -> JobAck:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED)

    async def CancelJob(self, request: JobCancelRequest, context: Context) -> JobCancelResponse:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED)

    async def QueryWorkflows(self, request: WorkflowQueryRequest, context: Context) -> WorkflowQueryResponse:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED)

    async def Ping(self, request: PingRequest, context: Context) -> ManagerPingResponse:
        return ManagerPingResponse(request_id=request.request_id, leader_id="manager-1")


@asynccontextmanager
async def a_manager() -> AsyncIterator[str]:
    server = grpc.aio.server()
    add_ManagerServiceServicer_to_server(PingableManager(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


@pytest.mark.requirement("CLIENT.3")
async def test_gates_and_managers_are_pinged_at_once() -> None:
    with socket.socket() as first, socket.socket() as second:
        mute = []
        for listener in (first, second):
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            mute.append(f"127.0.0.1:{listener.getsockname()[1]}")
        async with serving(Script()) as gate, a_manager() as manager, Client([gate, *mute], QUICK) as client:
            started = time.monotonic()
            gates = await client.ping()
            managers = await client.ping_managers([manager, *mute])
            # Four silent addresses, two at a time: one after the other they would take four seconds.
            assert time.monotonic() - started < 3.8
    assert [(ping.address, ping.answer is not None) for ping in gates] == [
        (gate, True),
        (mute[0], False),
        (mute[1], False),
    ]
    assert managers[0].answer is not None
    assert managers[0].answer.leader_id == "manager-1"
    assert all(ping.error for ping in managers[1:])


@pytest.mark.requirement("CLIENT.3")
async def test_a_manager_is_not_taken_for_a_gate() -> None:
    async with a_manager() as manager, Client([manager], QUICK) as client:
        (ping,) = await client.ping()
        assert (ping.answer, ping.error) == (None, f"{manager} is a manager, not a gate")
        with pytest.raises(NotAGateError, match=f"^{manager} is a manager, not a gate$"):
            await client.jobs()


async def test_a_server_of_something_else_is_not_taken_for_a_gate() -> None:
    server = grpc.aio.server()
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        async with Client([address], QUICK) as client:
            with pytest.raises(NotAGateError, match="answers, but it is not a gate"):
                await client.get("job-1")
    finally:
        await server.stop(0)
