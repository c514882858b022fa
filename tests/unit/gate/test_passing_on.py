"""Gates that pass jobs on to each other over the network, and do not agree on whose they are."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import pytest
import structlog

from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.server import NodeServer
from hyperscale.swim.models import Identity, Member, MemberState, NodeAddress, Role
from hyperscale.v1 import job_pb2
from hyperscale.v1.membership_service_pb2 import GateVitals
from hyperscale.v1.node_pb2 import NODE_STATE_ACTIVE, NodeInfo
from tests.unit.gate.conftest import StartGate
from tests.unit.gate.harness import GateInMemory, submission


@dataclass(slots=True)
class ServedGate:
    """A gate that others can call; `came` are the submissions that reached it that way."""

    gate: GateInMemory
    endpoint: Endpoint
    came: list[str | None] = field(default_factory=list)

    async def submit(self, *required: str) -> job_pb2.JobAck:
        return await self.gate.node.submissions.submit(submission(*required))


Serve: TypeAlias = Callable[[GateInMemory], Awaitable[ServedGate]]


@pytest.fixture
async def serve(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serve]:
    servers: list[NodeServer] = []

    async def begin(gate: GateInMemory) -> ServedGate:
        logger = structlog.wrap_logger(structlog.testing.CapturingLogger(), processors=[])
        server = NodeServer(Endpoint("127.0.0.1", 0), logger, insecure=True)
        came: list[str | None] = []
        submit = gate.node.submissions.submit

        async def counted(job: job_pb2.JobSubmission, given_id: str | None = None) -> job_pb2.JobAck:
            came.append(given_id)
            return await submit(job, given_id)

        monkeypatch.setattr(gate.node.submissions, "submit", counted)
        gate.node.add_to(server)
        servers.append(server)
        return ServedGate(gate, await server.start(), came)

    yield begin
    for server in servers:
        await server.drain(0)


@pytest.fixture
def only_sees(monkeypatch: pytest.MonkeyPatch) -> Callable[[ServedGate, ServedGate], None]:
    """Have a gate take another one for the owner of every job."""

    def believe(gate: ServedGate, other: ServedGate) -> None:
        where = NodeAddress(other.endpoint.host, other.endpoint.port)
        vitals = GateVitals(node=NodeInfo(state=NODE_STATE_ACTIVE)).SerializeToString()
        who = Identity("owner", Role.GATE, where, "c", "e", "local")
        owner = Member(who, MemberState.ALIVE, 1, vitals, 1, None, 0.0)
        # A gate that waits for a datacenter is not on the ring itself.
        gate.gate.node.others.reunion.expect(["never"])
        monkeypatch.setattr(gate.gate.node.others.membership, "members", lambda: [owner])

    return believe


@pytest.mark.requirement("AD-13.1")
async def test_a_job_is_passed_on_once_though_each_gate_takes_the_other_one_for_its_owner(
    start_gate: StartGate, serve: Serve, only_sees: Callable[[ServedGate, ServedGate], None]
) -> None:
    one = await serve(await start_gate("east", node_id="g1"))
    two = await serve(await start_gate("east", node_id="g2"))
    only_sees(one, two)
    only_sees(two, one)
    to_one, to_two = await one.submit("east"), await two.submit("east")
    assert (to_one.gate_id, to_two.gate_id) == ("g2", "g1")
    assert one.came == [None, to_two.job_id]
    assert two.came == [to_one.job_id, None]
    await two.gate.dispatched(to_one.job_id, "east")
    await one.gate.dispatched(to_two.job_id, "east")
    assert len(one.gate.datacenters.dispatches) == len(two.gate.datacenters.dispatches) == 1


async def test_the_gate_at_hand_owns_a_job_for_which_the_owner_knows_no_datacenter(
    start_gate: StartGate, serve: Serve, only_sees: Callable[[ServedGate, ServedGate], None]
) -> None:
    at_hand = await serve(await start_gate("east", node_id="g1"))
    restarted = await serve(await start_gate(node_id="g2"))
    only_sees(at_hand, restarted)
    ack = await at_hand.submit("east")
    assert ack.gate_id == "g1"
    assert restarted.came == [ack.job_id]
    assert restarted.gate.node.jobs.routing.job_count == 0


async def test_a_job_that_two_gates_refuse_is_refused_after_the_patience_of_one(
    start_gate: StartGate, serve: Serve, only_sees: Callable[[ServedGate, ServedGate], None]
) -> None:
    await start_gate("east", node_id="g3")
    at_hand = await serve(await start_gate(node_id="g1", routing_patience_seconds=1.5))
    other = await serve(await start_gate(node_id="g2", routing_patience_seconds=1.5))
    only_sees(at_hand, other)
    began_at = time.monotonic()
    with pytest.raises(HyperscaleError) as caught:
        await at_hand.submit("east")
    assert caught.value.reason is ErrorReason.NO_USABLE_DATACENTER
    assert len(other.came) == 1
    assert 1.4 < time.monotonic() - began_at < 2.9
