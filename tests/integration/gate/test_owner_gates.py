"""Jobs go to the gate that is to own them, whichever gate a client has asked."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import grpc.aio
import pytest

from hyperscale.routing.hash_ring import HashRing
from hyperscale.v1 import gate_service_pb2
from hyperscale.v1.job_pb2 import JOB_STATUS_FAILED, JobAck
from hyperscale.v1.membership_service_pb2 import NodeListRequest
from hyperscale.v1.membership_service_pb2_grpc import MembershipServiceStub
from hyperscale.v1.node_pb2 import NODE_STATE_ACTIVE
from hyperscale.v1.protocol import FORWARDED_METADATA_KEY, JOB_ID_METADATA_KEY
from hyperscale.v1.swim_pb2 import SWIM_STATE_ALIVE
from tests.integration.gate.fakes import FakeManager, GateClient, GateProcess, Gates, client_of, connected
from tests.support.waiting import until, until_answer
from tests.unit.gate.harness import submission


async def active_gates(gate: GateProcess) -> set[str]:
    async with connected(gate.address) as channel:
        answer = await MembershipServiceStub(channel).ListNodes(NodeListRequest(), timeout=30)
    return {
        status.node.node_id
        for status in answer.nodes
        if status.state == SWIM_STATE_ALIVE and status.gate.node.state == NODE_STATE_ACTIVE
    }


@dataclass(frozen=True, slots=True)
class Cluster:
    """Gates that know each other, before one datacenter."""

    gates: tuple[GateProcess, ...]
    ring: HashRing
    east: FakeManager


@asynccontextmanager
async def cluster_of(gates: Gates, *names: str) -> AsyncIterator[Cluster]:
    local = ("--membership-profile", "local", "--lease-ttl-seconds", "2")
    first = await gates.start(names[0], *local)
    others = await asyncio.gather(*(gates.start(name, *local, "--gates", first.address) for name in names[1:]))
    started = (first, *others)
    async with FakeManager("east").serving(*(gate.address for gate in started)) as east:
        for gate in started:

            async def has_met(gate: GateProcess = gate) -> bool:
                return await active_gates(gate) == set(names)

            await until_answer(has_met, "the gates know each other")
        yield Cluster(started, HashRing(names), east)


async def submitted(client: GateClient, ring: HashRing, owners: int) -> list[JobAck]:
    """Jobs, until so many gates are to own one at least."""
    acks: list[JobAck] = []
    while len({ring.owners(ack.job_id, 1) for ack in acks}) < owners:
        assert len(acks) < 100
        acks.append(await client.submit(submission("east")))
    return acks


@pytest.mark.requirement("AD-12.1")
@pytest.mark.requirement("AD-13.1")
async def test_a_job_goes_to_its_owner_once_and_to_the_gate_at_hand_when_the_owner_is_gone(gates: Gates) -> None:
    async with (
        cluster_of(gates, "g1", "g2") as cluster,
        client_of(cluster.gates[0]) as one,
        client_of(cluster.gates[1]) as two,
    ):
        ring, east = cluster.ring, cluster.east
        job = submission("east", key="once")
        acks = [await one.submit(job), *await submitted(one, ring, 2)]
        assert [(ack.gate_id,) for ack in acks] == [ring.owners(ack.job_id, 1) for ack in acks]
        await until(lambda: len(east.dispatches) == len(acks), "every job taken over")
        assert {(ack.job_id, ack.gate_id) for ack in acks} == {
            (job_id, dispatch.gate_id) for job_id, dispatch in east.dispatches.items()
        }
        assert await two.submit(job) == await one.submit(job) == acks[0]

        hers = next(name for name in (f"eu-{number}-g2-1" for number in count()) if ring.owners(name, 1) == ("g2",))
        metadata = ((FORWARDED_METADATA_KEY, "1"), (JOB_ID_METADATA_KEY, hers))
        kept = await one.stub.SubmitJob(submission("east"), timeout=10, metadata=metadata)
        assert (kept.job_id, kept.gate_id) == (hers, "g1")
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await one.stub.SubmitJob(submission("east"), timeout=10, metadata=metadata[:1])
        assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT

        cluster.gates[1].kill()
        started = time.monotonic()
        assert {ack.gate_id for ack in await submitted(one, ring, 2)} == {"g1"}
        assert time.monotonic() - started < 10


async def test_the_jobs_of_a_lost_gate_are_taken_by_the_others(gates: Gates, tmp_path: Path) -> None:
    """Which of them comes first is proven where time is virtual: here a gate may hear of the death when its turn is over."""
    async with cluster_of(gates, "g1", "g2", "g3") as cluster, client_of(cluster.gates[1]) as client:
        acks = [ack for ack in await submitted(client, cluster.ring, 3) if ack.gate_id == "g1"]
        cluster.gates[0].kill()
        for ack in acks:

            async def is_failed(job_id: str = ack.job_id) -> bool:
                page = await client.stub.ListJobs(gate_service_pb2.ListJobsRequest(), timeout=30)
                return {job.job_id: job.status for job in page.jobs}[job_id] == JOB_STATUS_FAILED

            await until_answer(is_failed, "the end of the orphan")
            takers = takers_of(ack.job_id, tmp_path)
            assert takers
            assert takers <= {"g2", "g3"}


def takers_of(job_id: str, logs: Path) -> set[str]:
    """The gates that have found it to be their turn."""
    line = "turn to take an orphaned job over"
    return {
        file.stem
        for file in logs.glob("*.log")
        if any(line in text and job_id in text for text in file.read_text().splitlines())
    }
