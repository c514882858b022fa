"""Which gate owns a job, and what becomes of jobs that are passed on."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import pytest

from hyperscale.gate.ownership import GateRing
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.identity import NodeIdentity
from hyperscale.runtime.lifecycle import NodeLifecycle
from hyperscale.swim.models import Identity, Member, MemberState, NodeAddress, Role
from hyperscale.v1.membership_service_pb2 import GateVitals
from hyperscale.v1.node_pb2 import NODE_ROLE_GATE, NODE_STATE_ACTIVE, NODE_STATE_DRAINING, NodeInfo, NodeState
from tests.unit.gate.conftest import StartGate
from tests.unit.gate.harness import GateInMemory, submission

JOBS = [f"local-{1700000000000 + number}-g{number % 7}-{number}" for number in range(5000)]
GIVEN = "eu-1700000000000-g2-1"


def member(name: str, state: MemberState = MemberState.ALIVE, says: NodeState.ValueType = NODE_STATE_ACTIVE) -> Member:
    who = Identity(name, Role.GATE, NodeAddress(name, 1), "c", "e", "local")
    metadata = GateVitals(node=NodeInfo(state=says)).SerializeToString()
    return Member(who, state, 1, metadata, 1, None, 0.0)


@dataclass(slots=True)
class Group:
    known: list[Member] = field(default_factory=list)

    def members(self) -> list[Member]:
        return self.known


def gate_named(name: str) -> NodeLifecycle:
    return NodeLifecycle(NodeIdentity(name, NODE_ROLE_GATE, "local", "c", "e"))


def ring_of(gate_id: str, *others: Member) -> GateRing:
    return GateRing(gate_named(gate_id), Group(list(others)))


def owner(gate_id: str, ring: GateRing, job_id: str) -> str:
    elsewhere = ring.owner_elsewhere(job_id)
    return gate_id if elsewhere is None else elsewhere.host


@pytest.mark.requirement("AD-12.1")
@pytest.mark.parametrize("count", [2, 3, 5])
def test_all_gates_name_the_same_owner_and_few_jobs_move_when_one_leaves(count: int) -> None:
    names = [f"gate-{number}" for number in range(count)]
    groups = {name: Group([member(other) for other in names]) for name in names}
    rings = {name: GateRing(gate_named(name), group) for name, group in groups.items()}
    before = {job_id: owner("gate-0", rings["gate-0"], job_id) for job_id in JOBS}
    for name, ring in rings.items():
        assert all(owner(name, ring, job_id) == before[job_id] for job_id in JOBS[:500])
    gone = names[-1]
    groups["gate-0"].known = [member(name, MemberState.DEAD if name == gone else MemberState.ALIVE) for name in names]
    moved = [job_id for job_id in JOBS if owner("gate-0", rings["gate-0"], job_id) != before[job_id]]
    assert Counter(before.values())[gone] == len(moved) <= 1.2 / count * len(JOBS)


@pytest.mark.parametrize(
    "other",
    [
        member("g2", MemberState.SUSPECT),
        member("g2", MemberState.DEAD),
        member("g2", MemberState.LEFT),
        member("g2", MemberState.UNCONFIRMED),
        member("g2", says=NODE_STATE_DRAINING),
        Member(member("g2").identity, MemberState.ALIVE, 1, b"", 0, None, 0.0),
        Member(member("g2").identity, MemberState.ALIVE, 1, b"\xff\xff", 1, None, 0.0),
    ],
)
def test_a_gate_that_takes_no_jobs_owns_none(other: Member) -> None:
    ring = ring_of("g1", other)
    assert all(ring.owner_elsewhere(job_id) is None for job_id in JOBS[:100])


def test_each_gate_has_its_own_turn() -> None:
    names = ["g1", "g2", "g3"]
    rings = [ring_of(name, *map(member, names)) for name in names]
    assert all({ring.turn(job_id) for ring in rings} == {0, 1, 2} for job_id in JOBS[:100])
    assert all((ring.turn(job_id) == 0) == (ring.owner_elsewhere(job_id) is None) for job_id in JOBS for ring in rings)
    assert ring_of("g1").turn("any") == 0


def test_a_gate_that_drains_takes_no_orphan() -> None:
    gate = gate_named("g1")
    ring = GateRing(gate, Group([member("g1"), member("g2")]))
    gate.drain()
    assert all(ring.turn(job_id) is None for job_id in JOBS[:100])


async def test_a_job_that_is_passed_on_keeps_its_identity_and_is_one_job_however_often_it_comes(
    start_gate: StartGate,
) -> None:
    gate = await start_gate("east")
    acks = [await gate.node.submissions.submit(submission("east"), GIVEN) for _ in range(2)]
    await gate.dispatched(GIVEN, "east")
    gate.finish("east", GIVEN)
    await gate.ended(GIVEN)
    acks.append(await gate.node.submissions.submit(submission("east"), GIVEN))
    assert {(ack.job_id, ack.gate_id) for ack in acks} == {(GIVEN, "g1")}
    assert acks[0] == acks[1] == acks[2]
    assert len(gate.datacenters.dispatches) == 1


async def test_a_gate_that_takes_over_a_job_which_its_owner_has_after_all_gets_the_owners_answer(
    start_gate: StartGate,
) -> None:
    owner_gate, receiver = await start_gate("east", node_id="g1"), await start_gate("east", node_id="g2")
    ack = await owner_gate.node.submissions.submit(submission("east"), GIVEN)
    assert await receiver.node.submissions.submit(submission("east"), GIVEN) == ack
    both = await asyncio.gather(
        *(gate.node.submissions.submit(submission("east"), "eu-1-g2-2") for gate in (owner_gate, receiver)),
        return_exceptions=True,
    )
    assert len(owner_gate.node.jobs.state) + len(receiver.node.jobs.state) == 2
    assert {answer.job_id for answer in both if not isinstance(answer, BaseException)} == {"eu-1-g2-2"}


async def test_another_job_under_the_same_identity_is_refused_and_leaves_the_first_alone(gate: GateInMemory) -> None:
    await gate.node.submissions.submit(submission("east"), GIVEN)
    with pytest.raises(HyperscaleError) as caught:
        await gate.node.submissions.submit(submission("west"), GIVEN)
    assert caught.value.reason is ErrorReason.NOT_READY
    run = gate.node.jobs.state.find(GIVEN)
    assert run is not None
    await gate.node.jobs.leases.renew([run])
    assert not run.is_abandoned


@pytest.mark.parametrize("given_id", ["", "job", "a/b-1-c-1", "eu-1-g-1.setup", "x" * 300, "eu-1-g-1\n", "é-1-g-1"])
async def test_what_is_no_identity_of_a_job_is_refused(gate: GateInMemory, given_id: str) -> None:
    with pytest.raises(HyperscaleError) as caught:
        await gate.node.submissions.submit(submission("east"), given_id)
    assert caught.value.reason is ErrorReason.INVALID_ARGUMENT
    assert [violation.path for violation in caught.value.violations] == ["hyperscale-job-id"]
