"""What the group says of a worker, weighed against what its stream says."""

from __future__ import annotations

import pytest

from hyperscale.manager.registry import WorkerRegistry
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.identity import NodeIdentity
from hyperscale.swim.events import MemberConfirmed, MemberDied, MemberRecovered
from hyperscale.swim.models import Identity, Member, MemberState, NodeAddress, Role
from hyperscale.v1.node_pb2 import NODE_ROLE_MANAGER
from tests.support.shards import CLUSTER, DATACENTER, ENVIRONMENT, worker_heartbeat
from tests.unit.manager.harness import TurnedClock

GRACE_SECONDS = 30.0
BEAT = worker_heartbeat("worker-1", 4, 7001)
CAUSE = "declared dead by the group: manager-2 got no answer"


def member(state: MemberState, node_id: str = "worker-1") -> Member:
    who = Identity(node_id, Role.WORKER, NodeAddress("127.0.0.1", 7001), CLUSTER, ENVIRONMENT, DATACENTER)
    return Member(who, state, 1, b"", 0, None, 0.0)


DIED = MemberDied(member(MemberState.DEAD), "manager-2")


@pytest.fixture
def workers(clock: TurnedClock) -> WorkerRegistry:
    """A registry with one worker, whose stream has just spoken."""
    identity = NodeIdentity("manager-1", NODE_ROLE_MANAGER, DATACENTER, CLUSTER, ENVIRONMENT)
    workers = WorkerRegistry(identity, clock, GRACE_SECONDS, lambda: None)
    workers.register(BEAT)
    workers.connect("worker-1")
    workers.update(BEAT)
    return workers


def losses(workers: WorkerRegistry) -> list[tuple[str, str]]:
    return [(loss.worker_id, loss.cause) for loss in workers.remove_lost()]


def test_a_silent_worker_that_the_group_declares_dead_is_lost_at_once(
    workers: WorkerRegistry, clock: TurnedClock
) -> None:
    clock.now += 2.5
    assert losses(workers) == []
    workers.member_changed(DIED)
    assert losses(workers) == [("worker-1", CAUSE)]
    with pytest.raises(HyperscaleError) as failure:
        workers.connect("worker-1")
    assert failure.value.reason == ErrorReason.NOT_REGISTERED


def test_a_worker_whose_stream_speaks_stays_while_it_does(workers: WorkerRegistry, clock: TurnedClock) -> None:
    workers.member_changed(DIED)
    for _ in range(5):
        clock.now += 1.0
        workers.update(BEAT)
        assert losses(workers) == []
    clock.now += 2.5
    assert losses(workers) == [("worker-1", CAUSE)]


def test_a_closed_stream_does_not_wait_for_its_grace_when_the_group_knows(
    workers: WorkerRegistry, clock: TurnedClock
) -> None:
    workers.disconnect("worker-1", workers.connect("worker-1"))
    clock.now += 0.1
    assert losses(workers) == []
    workers.member_changed(DIED)
    assert losses(workers) == [("worker-1", CAUSE)]


@pytest.mark.parametrize(
    "event",
    [MemberRecovered(member(MemberState.ALIVE), MemberState.DEAD), MemberConfirmed(member(MemberState.ALIVE))],
)
def test_who_is_back_before_it_was_missed_is_not_lost(
    event: MemberRecovered | MemberConfirmed, workers: WorkerRegistry, clock: TurnedClock
) -> None:
    workers.member_changed(DIED)
    assert losses(workers) == []
    workers.member_changed(event)
    clock.now += 2.5
    assert losses(workers) == []


def test_without_the_groups_word_a_closed_stream_has_its_grace(workers: WorkerRegistry, clock: TurnedClock) -> None:
    workers.disconnect("worker-1", workers.connect("worker-1"))
    clock.now += GRACE_SECONDS - 0.1
    assert losses(workers) == []
    clock.now += 0.2
    assert losses(workers) == [("worker-1", "no connection for 30 s")]


def test_a_lost_worker_that_registers_again_starts_anew(workers: WorkerRegistry, clock: TurnedClock) -> None:
    workers.member_changed(DIED)
    clock.now += 2.5
    assert losses(workers) == [("worker-1", CAUSE)]
    workers.register(BEAT)
    workers.connect("worker-1")
    clock.now += 2.5
    assert losses(workers) == []
    assert [capacity.worker_id for capacity in workers.capacities()] == ["worker-1"]


def test_the_groups_word_on_strangers_changes_nothing(workers: WorkerRegistry, clock: TurnedClock) -> None:
    workers.member_changed(MemberDied(member(MemberState.DEAD, "worker-2"), ""))
    clock.now += 2.5
    assert losses(workers) == []
