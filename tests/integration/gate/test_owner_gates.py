"""Jobs go to the gate that is to own them, whichever gate a client has asked."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import grpc.aio
import pytest

from hyperscale.routing.hash_ring import HashRing
from hyperscale.v1.job_pb2 import JobAck
from hyperscale.v1.membership_service_pb2 import NodeListRequest
from hyperscale.v1.membership_service_pb2_grpc import MembershipServiceStub
from hyperscale.v1.node_pb2 import NODE_STATE_ACTIVE
from hyperscale.v1.protocol import FORWARDED_METADATA_KEY, JOB_ID_METADATA_KEY
from hyperscale.v1.swim_pb2 import SWIM_STATE_ALIVE
from tests.integration.gate.fakes import FakeManager, GateClient, GateProcess, Gates, client_of, connected
from tests.support.waiting import until, until_answer
from tests.unit.gate.harness import submission

RING = HashRing(["g1", "g2"])


async def active_gates(gate: GateProcess) -> set[str]:
    async with connected(gate.address) as channel:
        answer = await MembershipServiceStub(channel).ListNodes(NodeListRequest(), timeout=5)
    return {
        status.node.node_id
        for status in answer.nodes
        if status.state == SWIM_STATE_ALIVE and status.gate.node.state == NODE_STATE_ACTIVE
    }


@asynccontextmanager
async def two_gates(gates: Gates) -> AsyncIterator[tuple[GateProcess, GateProcess, FakeManager]]:
    """Gates that know each other, before one datacenter."""
    local = ("--membership-profile", "local", "--lease-ttl-seconds", "2")
    first = await gates.start("g1", *local)
    second = await gates.start("g2", *local, "--gates", first.address)
    async with FakeManager("east").serving(first.address, second.address) as east:
        for gate in (first, second):

            async def has_met(gate: GateProcess = gate) -> bool:
                return await active_gates(gate) == {"g1", "g2"}

            await until_answer(has_met, "the gates know each other", within_seconds=15)
        yield first, second, east


async def submitted(client: GateClient) -> list[JobAck]:
    """Jobs, until each gate is to own one at least."""
    acks: list[JobAck] = []
    while len({RING.owners(ack.job_id, 1) for ack in acks}) < 2:
        assert len(acks) < 60
        acks.append(await client.submit(submission("east")))
    return acks


@pytest.mark.requirement("AD-12.1")
@pytest.mark.requirement("AD-13.1")
async def test_a_job_goes_to_its_owner_once_and_to_the_gate_at_hand_when_the_owner_is_gone(gates: Gates) -> None:
    async with two_gates(gates) as (first, second, east), client_of(first) as one, client_of(second) as two:
        job = submission("east", key="once")
        acks = [await one.submit(job), *await submitted(one)]
        assert [(ack.gate_id,) for ack in acks] == [RING.owners(ack.job_id, 1) for ack in acks]
        await until(lambda: len(east.dispatches) == len(acks), "every job taken over", within_seconds=10)
        assert {(ack.job_id, ack.gate_id) for ack in acks} == {
            (job_id, dispatch.gate_id) for job_id, dispatch in east.dispatches.items()
        }
        assert await two.submit(job) == await one.submit(job) == acks[0]

        hers = next(name for name in (f"eu-{number}-g2-1" for number in count()) if RING.owners(name, 1) == ("g2",))
        metadata = ((FORWARDED_METADATA_KEY, "1"), (JOB_ID_METADATA_KEY, hers))
        kept = await one.stub.SubmitJob(submission("east"), timeout=10, metadata=metadata)
        assert (kept.job_id, kept.gate_id) == (hers, "g1")
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await one.stub.SubmitJob(submission("east"), timeout=10, metadata=metadata[:1])
        assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT

        second.kill()
        started = time.monotonic()
        assert {ack.gate_id for ack in await submitted(one)} == {"g1"}
        assert time.monotonic() - started < 5
