"""What a manager tells gates that probe its datacenter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from hyperscale.manager.federation import DatacenterVoice
from hyperscale.runtime.coordination import MemoryStore
from hyperscale.swim.models import Identity, Member, MemberState, NodeAddress, Role
from hyperscale.v1.node_pb2 import OVERLOAD_STATE_OVERLOADED
from hyperscale.v1.swim_pb2 import (
    SWIM_DATACENTER_HEALTH_BUSY,
    SWIM_DATACENTER_HEALTH_DEGRADED,
    SWIM_DATACENTER_HEALTH_HEALTHY,
    SWIM_DATACENTER_HEALTH_UNHEALTHY,
)
from tests.support.shards import workflow
from tests.support.waiting import until
from tests.unit.manager.harness import ManagerInMemory, TurnedClock, dispatch


@dataclass(slots=True)
class Group:
    clock: TurnedClock
    rows: list[Member] = field(default_factory=list)

    def members(self) -> list[Member]:
        return self.rows

    def add(self, role: Role, *states: MemberState, age_seconds: float = 0.0) -> None:
        for state in states:
            who = Identity(f"{role.name}-{len(self.rows)}", role, NodeAddress("h", 1), "c", "e", "dc")
            self.rows.append(Member(who, state, 1, b"", 0, None, self.clock.now - age_seconds))


@pytest.fixture
async def group(clock: TurnedClock) -> Group:
    made = Group(clock)
    made.add(Role.MANAGER, MemberState.ALIVE)
    return made


@pytest.fixture
async def voice(manager: ManagerInMemory, group: Group) -> DatacenterVoice:
    return DatacenterVoice(manager.health, manager.leadership, manager.state, group, manager.clock)


async def test_the_leader_sums_its_datacenter_up(
    manager: ManagerInMemory, voice: DatacenterVoice, group: Group
) -> None:
    manager.join("worker-1", 7001, 2)
    group.add(Role.WORKER, MemberState.ALIVE, MemberState.ALIVE, MemberState.DEAD, MemberState.LEFT)
    group.add(Role.WORKER, MemberState.UNCONFIRMED)
    group.add(Role.WORKER, MemberState.DEAD, age_seconds=3600)
    ack = voice.health()
    assert ack is not None
    assert ack.leader_term > 0
    assert (ack.managers, ack.healthy_managers, ack.workers, ack.healthy_workers) == (1, 1, 3, 2)
    assert (ack.total_cores, ack.available_cores, ack.active_jobs, ack.active_workflows) == (2, 2, 0, 0)
    assert (ack.health, ack.health_reason) == (SWIM_DATACENTER_HEALTH_HEALTHY, "")


async def test_health_is_the_worst_that_holds(manager: ManagerInMemory, voice: DatacenterVoice, group: Group) -> None:
    seen = []

    def look() -> None:
        ack = voice.health()
        assert ack is not None
        seen.append((ack.health, ack.health_reason))

    look()
    manager.join("worker-1", 7001, 1)
    group.add(Role.WORKER, MemberState.ALIVE)
    await manager.intake.accept(dispatch("job-1", workflow("A")))
    await until(lambda: manager.port.orders)
    look()
    group.add(Role.WORKER, MemberState.DEAD)
    look()
    assert seen == [
        (SWIM_DATACENTER_HEALTH_UNHEALTHY, "no worker is there"),
        (SWIM_DATACENTER_HEALTH_BUSY, "no core is free"),
        (SWIM_DATACENTER_HEALTH_DEGRADED, "1 of 2 workers are there"),
    ]


async def test_a_datacenter_is_degraded_by_workers_and_a_leader_that_fall_behind(
    manager: ManagerInMemory, voice: DatacenterVoice, group: Group
) -> None:
    manager.join("worker-1", 7001, 1)
    manager.join("worker-2", 7002, 1)
    group.add(Role.WORKER, MemberState.ALIVE, MemberState.ALIVE)
    manager.node.note_overload(OVERLOAD_STATE_OVERLOADED)
    ack = voice.health()
    assert ack is not None
    assert (ack.health, ack.health_reason) == (SWIM_DATACENTER_HEALTH_DEGRADED, "its leader is overloaded")
    manager.fares("worker-1", OVERLOAD_STATE_OVERLOADED)
    ack = voice.health()
    assert ack is not None
    assert (ack.health, ack.health_reason) == (SWIM_DATACENTER_HEALTH_DEGRADED, "1 of 2 workers are overloaded")


@pytest.fixture
async def follower(store: MemoryStore, clock: TurnedClock, manager: ManagerInMemory) -> AsyncIterator[ManagerInMemory]:
    async with ManagerInMemory("manager-2", store, clock) as other:
        yield other


async def test_who_does_not_lead_has_nothing_to_say(follower: ManagerInMemory, group: Group) -> None:
    voice = DatacenterVoice(follower.health, follower.leadership, follower.state, group, follower.clock)
    await until(lambda: voice.leader() == NodeAddress("127.0.0.1", 7000))
    assert voice.health() is None
