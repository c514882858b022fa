"""Which gate owns a job, and what becomes of jobs that are passed on."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from hyperscale.gate.leases import JobLeases
from hyperscale.gate.ownership import GateRing
from hyperscale.gate.reunion import DatacenterReunion
from hyperscale.runtime.clock import SystemClock
from hyperscale.runtime.coordination import Coordinator, Lease, MemoryStore
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.identity import NodeIdentity
from hyperscale.runtime.lifecycle import NodeLifecycle
from hyperscale.swim.models import Identity, Member, MemberState, NodeAddress, Role
from hyperscale.v1.membership_service_pb2 import GateVitals
from hyperscale.v1.node_pb2 import NODE_ROLE_GATE, NODE_STATE_ACTIVE, NODE_STATE_DRAINING, NodeInfo, NodeState
from tests.support.waiting import PATIENCE_SECONDS, until, until_answer
from tests.unit.gate.conftest import StartGate
from tests.unit.gate.harness import GateInMemory, make_gate, submission

JOBS = [f"local-{1700000000000 + number}-g{number % 7}-{number}" for number in range(5000)]
GIVEN = "eu-1700000000000-g2-1"


def member(
    name: str,
    state: MemberState = MemberState.ALIVE,
    says: NodeState.ValueType = NODE_STATE_ACTIVE,
    awaits_datacenters: bool = False,
) -> Member:
    who = Identity(name, Role.GATE, NodeAddress(name, 1), "c", "e", "local")
    vitals = GateVitals(node=NodeInfo(state=says), awaits_datacenters=awaits_datacenters)
    metadata = vitals.SerializeToString()
    return Member(who, state, 1, metadata, 1, None, 0.0)


@dataclass(slots=True)
class Group:
    known: list[Member] = field(default_factory=list)

    def members(self) -> list[Member]:
        return self.known


@dataclass(slots=True)
class CountingGroup:
    known: list[Member]
    asked: int = 0

    def members(self) -> list[Member]:
        self.asked += 1
        return self.known


def gate_named(name: str) -> NodeLifecycle:
    return NodeLifecycle(NodeIdentity(name, NODE_ROLE_GATE, "local", "c", "e"))


def reunion_of(gate: GateInMemory | None = None, *awaited: str) -> DatacenterReunion:
    """What a gate waits for; by default nothing."""
    gate = gate or make_gate(MemoryStore(time.time))
    reunion = DatacenterReunion(gate.node.jobs.registry, SystemClock(), 10.0)
    reunion.expect(awaited)
    return reunion


def ring_of(gate_id: str, *others: Member) -> GateRing:
    return GateRing(gate_named(gate_id), Group(list(others)), reunion_of())


def owner(gate_id: str, ring: GateRing, job_id: str) -> str:
    elsewhere = ring.owner_elsewhere(job_id)
    return gate_id if elsewhere is None else elsewhere.host


@pytest.mark.requirement("AD-12.1")
@pytest.mark.parametrize("count", [2, 3, 5])
def test_all_gates_name_the_same_owner_and_few_jobs_move_when_one_leaves(count: int) -> None:
    names = [f"gate-{number}" for number in range(count)]
    groups = {name: Group([member(other) for other in names]) for name in names}
    rings = {name: GateRing(gate_named(name), group, reunion_of()) for name, group in groups.items()}
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
        member("g2", awaits_datacenters=True),
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
    turns = [ring.turns(JOBS) for ring in rings]
    assert all({of_ring[job_id] for of_ring in turns} == {0, 1, 2} for job_id in JOBS)
    for ring, of_ring in zip(rings, turns, strict=True):
        assert all((turn == 0) == (ring.owner_elsewhere(job_id) is None) for job_id, turn in of_ring.items())
    assert ring_of("g1").turns(["any"]) == {"any": 0}


def test_many_orphans_are_looked_through_at_once() -> None:
    group = CountingGroup([member(f"g{number}") for number in range(100)])
    ring = GateRing(gate_named("g1"), group, reunion_of())
    assert len(ring.turns(JOBS[:1000])) == 1000
    assert group.asked == 1


def test_a_gate_that_drains_takes_no_orphan() -> None:
    gate = gate_named("g1")
    ring = GateRing(gate, Group([member("g1"), member("g2")]), reunion_of())
    gate.drain()
    assert not ring.turns(JOBS[:100])


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


async def test_a_gate_that_has_just_started_leaves_jobs_to_others_until_the_datacenters_of_before_are_back(
    start_gate: StartGate,
) -> None:
    await start_gate("east", "west", node_id="g1")
    restarted = await start_gate(node_id="g2")
    ring = GateRing(gate_named("g2"), Group([member("g1"), member("g2")]), restarted.node.others.reunion)
    assert restarted.node.views.vitals().awaits_datacenters
    assert {owner("g2", ring, job_id) for job_id in JOBS[:100]} == {"g1"}
    assert set(ring.turns(JOBS).values()) == {1}
    await restarted.connect("east")
    assert restarted.node.views.vitals().awaits_datacenters
    await restarted.connect("west")
    assert not restarted.node.views.vitals().awaits_datacenters
    assert {owner("g2", ring, job_id) for job_id in JOBS[:100]} == {"g1", "g2"}
    alone = await start_gate(node_id="g3")
    assert alone.node.views.vitals().awaits_datacenters
    assert GateRing(gate_named("g3"), Group(), alone.node.others.reunion).turns(["any"]) == {"any": 0}


async def test_a_gate_waits_for_datacenters_that_are_gone_for_good_no_longer_than_the_grace(
    start_gate: StartGate,
) -> None:
    await start_gate("east", node_id="g1")
    restarted = await start_gate(node_id="g2", manager_loss_grace_seconds=0.2)
    assert restarted.node.views.vitals().awaits_datacenters
    await until(lambda: not restarted.node.views.vitals().awaits_datacenters)


async def test_a_slow_commit_of_the_owner_is_waited_for(start_gate: StartGate, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, at_hand = await start_gate("east", node_id="g1"), await start_gate("east", node_id="g2")
    go_on = held_up(slow, monkeypatch)
    answers = []
    for gate in (slow, slow, at_hand):
        answers.append(asyncio.create_task(gate.node.submissions.submit(submission("east"), GIVEN)))
        await until_answer(lambda: slow.node.jobs.leases.is_owned(GIVEN))
    await asyncio.sleep(0.2)
    assert not any(answer.done() for answer in answers)
    go_on.set()
    assert {(ack.job_id, ack.gate_id) for ack in await asyncio.gather(*answers)} == {(GIVEN, "g1")}
    await slow.dispatched(GIVEN, "east")
    assert not at_hand.datacenters.dispatches


async def test_whoever_waits_for_an_owner_in_vain_is_not_told_to_submit_again(
    start_gate: StartGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = await start_gate("east", node_id="g1")
    at_hand = await start_gate("east", node_id="g2", call_timeout_seconds=0.3)
    go_on = held_up(slow, monkeypatch)
    owned = asyncio.create_task(slow.node.submissions.submit(submission("east"), GIVEN))
    await until_answer(lambda: slow.node.jobs.leases.is_owned(GIVEN))
    with pytest.raises(HyperscaleError) as caught:
        await at_hand.node.submissions.submit(submission("east"), GIVEN)
    assert caught.value.reason is ErrorReason.DEADLINE_EXCEEDED
    go_on.set()
    assert (await owned).job_id == GIVEN


def held_up(gate: GateInMemory, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """A gate whose store commits jobs only once the event is set."""
    go_on, create = asyncio.Event(), gate.node.jobs.store.create

    async def slowly(*job: Any) -> None:
        await go_on.wait()
        await create(*job)

    monkeypatch.setattr(gate.node.jobs.store, "create", slowly)
    return go_on


async def test_another_job_under_the_same_identity_is_refused_and_leaves_the_first_alone(gate: GateInMemory) -> None:
    await gate.node.submissions.submit(submission("east"), GIVEN)
    with pytest.raises(HyperscaleError) as caught:
        await gate.node.submissions.submit(submission("west"), GIVEN)
    assert caught.value.reason is ErrorReason.NOT_READY
    run = gate.node.jobs.state.find(GIVEN)
    assert run is not None
    await gate.node.jobs.leases.renew([run])
    assert not run.is_abandoned


class SilentStore:
    """A store that has stopped answering."""

    async def renew(self, lease: Lease, ttl_seconds: float) -> Lease:
        never: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()
        return await never


async def test_a_gate_whose_store_does_not_answer_owns_its_jobs_until_their_leases_end(gate: GateInMemory) -> None:
    await gate.node.submissions.submit(submission("east"), GIVEN)
    run = gate.node.jobs.state.find(GIVEN)
    assert run is not None
    clock = SystemClock()
    run.renewed(replace(run.lease, expires_at=clock.wall() + 0.05))
    leases = JobLeases(cast("Coordinator", SilentStore()), "g1", 15.0, gate.supervisor, clock)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await leases.renew([run])
    assert run.is_abandoned
    assert clock.wall() >= run.lease.expires_at


@pytest.mark.parametrize("given_id", ["", "job", "a/b-1-c-1", "eu-1-g-1.setup", "x" * 300, "eu-1-g-1\n", "é-1-g-1"])
async def test_what_is_no_identity_of_a_job_is_refused(gate: GateInMemory, given_id: str) -> None:
    with pytest.raises(HyperscaleError) as caught:
        await gate.node.submissions.submit(submission("east"), given_id)
    assert caught.value.reason is ErrorReason.INVALID_ARGUMENT
    assert [violation.path for violation in caught.value.violations] == ["hyperscale-job-id"]
