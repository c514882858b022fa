"""Who gets how many cores, and that nothing is lost or given twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.manager.allocation import allocate, place_all
from hyperscale.manager.models.allocation import Allocation, CorePool, CoreRequest, WorkerCapacity, WorkflowKey
from hyperscale.v1.node_pb2 import OVERLOAD_STATE_BUSY, OVERLOAD_STATE_HEALTHY, OVERLOAD_STATE_STRESSED
from hyperscale.v1.workflow_pb2 import (
    PRIORITY_AUTO,
    PRIORITY_EXCLUSIVE,
    PRIORITY_HIGH,
    PRIORITY_LOW,
    PRIORITY_NORMAL,
    Priority,
    SharedIterations,
    Workflow,
)
from hyperscale.workload.splitting import split_workflow

PRIORITIES = (PRIORITY_AUTO, PRIORITY_LOW, PRIORITY_NORMAL, PRIORITY_HIGH, PRIORITY_EXCLUSIVE)
SHARING = PRIORITIES[:-1]


def request(name: str, priority: Priority.ValueType, users: int) -> CoreRequest:
    return CoreRequest(WorkflowKey("job", name), priority, users)


def pool(*cores: int, is_idle: bool = True, is_exclusive: bool = False) -> CorePool:
    workers = tuple(WorkerCapacity(f"w{number}", count) for number, count in enumerate(cores))
    return CorePool(workers, is_idle, is_exclusive)


def cores_by_name(allocations: tuple[Allocation, ...]) -> dict[str, int]:
    return {allocation.key.workflow_name: allocation.cores for allocation in allocations}


@pytest.mark.parametrize(
    ("cores", "expected"),
    [
        (1, [("w1", 1)]),
        (2, [("w1", 1), ("w3", 1)]),
        (4, [("w1", 1), ("w3", 1), ("w2", 2)]),
        (6, [("w1", 1), ("w3", 1), ("w2", 2), ("w0", 2)]),
    ],
)
def test_cores_of_workers_that_do_their_work_in_time_are_taken_first(
    cores: int, expected: list[tuple[str, int]]
) -> None:
    workers = (
        WorkerCapacity("w0", 8, OVERLOAD_STATE_STRESSED),
        WorkerCapacity("w1", 1),
        WorkerCapacity("w2", 2, OVERLOAD_STATE_BUSY),
        WorkerCapacity("w3", 1, OVERLOAD_STATE_HEALTHY),
    )
    (allocation,) = place_all([(request("A", PRIORITY_NORMAL, cores), cores)], workers)
    assert [(place.worker_id, place.cores) for place in allocation.placements] == expected


@st.composite
def requests(draw: st.DrawFn, priorities: tuple[Priority.ValueType, ...] = PRIORITIES) -> list[CoreRequest]:
    users = draw(st.lists(st.tuples(st.sampled_from(priorities), st.integers(1, 10_000)), max_size=12))
    return [request(f"wf{number}", priority, count) for number, (priority, count) in enumerate(users)]


core_counts = st.lists(st.integers(0, 64), max_size=8)


@pytest.mark.requirement("WORK.1")
@given(requests(), core_counts, st.booleans(), st.booleans())
def test_cores_are_never_given_twice(
    asked: list[CoreRequest], cores: list[int], is_idle: bool, is_exclusive: bool
) -> None:
    free = pool(*cores, is_idle=is_idle, is_exclusive=is_exclusive)
    allocations = allocate(asked, free)
    for worker in free.workers:
        given_away = sum(p.cores for a in allocations for p in a.placements if p.worker_id == worker.worker_id)
        assert given_away <= worker.free_cores
    users = {each.key: each.users for each in asked}
    assert len({allocation.key for allocation in allocations}) == len(allocations)
    assert all(1 <= allocation.cores <= users[allocation.key] for allocation in allocations)
    for allocation in allocations:
        assert len({placement.worker_id for placement in allocation.placements}) == len(allocation.placements)


@pytest.mark.requirement("WORK.1")
@given(requests(SHARING), core_counts)
def test_cores_do_not_lie_idle_while_a_workflow_waits(asked: list[CoreRequest], cores: list[int]) -> None:
    free = pool(*cores)
    allocations = allocate(asked, free)
    if len(allocations) < len(asked):
        assert sum(allocation.cores for allocation in allocations) == free.free_cores


@pytest.mark.requirement("WORK.1")
@given(requests(SHARING), core_counts)
def test_who_waits_is_of_no_higher_priority_than_who_starts(asked: list[CoreRequest], cores: list[int]) -> None:
    started = {allocation.key for allocation in allocate(asked, pool(*cores))}
    ranks = {each.key: SHARING.index(each.priority) for each in asked}
    waiting = [rank for key, rank in ranks.items() if key not in started]
    assert all(rank >= max(waiting, default=0) for key, rank in ranks.items() if key in started)


@pytest.mark.requirement("WORK.1")
@given(
    st.integers(1, 5_000),
    st.integers(0, 100_000),
    st.lists(st.integers(1, 64), min_size=1, max_size=8),
)
def test_the_sum_of_the_shards_is_the_workflow(users: int, iterations: int, cores: list[int]) -> None:
    workflow = Workflow(name="wf", shared_iterations=SharedIterations(vus=users, iterations=iterations))
    (allocation,) = allocate([request("wf", PRIORITY_AUTO, users)], pool(*cores))
    parts = split_workflow(workflow, [placement.cores for placement in allocation.placements])
    assert sum(part.shared_iterations.vus for part in parts) == users
    assert sum(part.shared_iterations.iterations for part in parts) == iterations
    assert all(
        part.shared_iterations.vus >= placement.cores
        for part, placement in zip(parts, allocation.placements, strict=True)
    )


@pytest.mark.requirement("WORK.1")
def test_an_exclusive_workflow_runs_alone_on_every_core() -> None:
    asked = [request("high", PRIORITY_HIGH, 100), request("alone", PRIORITY_EXCLUSIVE, 100)]
    assert cores_by_name(allocate(asked, pool(4, 4))) == {"alone": 8}


@pytest.mark.requirement("WORK.1")
def test_an_exclusive_workflow_is_waited_for() -> None:
    asked = [request("high", PRIORITY_HIGH, 100), request("alone", PRIORITY_EXCLUSIVE, 100)]
    assert allocate(asked, pool(4, 4, is_idle=False)) == ()


@pytest.mark.requirement("WORK.1")
def test_nothing_starts_beside_an_exclusive_workflow() -> None:
    assert allocate([request("high", PRIORITY_HIGH, 1)], pool(4, is_idle=False, is_exclusive=True)) == ()


@pytest.mark.requirement("WORK.1")
@pytest.mark.parametrize(
    ("asked", "cores", "expected"),
    [
        ([("a", PRIORITY_HIGH, 30), ("b", PRIORITY_NORMAL, 10)], 8, {"a": 6, "b": 2}),
        ([("a", PRIORITY_LOW, 90), ("b", PRIORITY_HIGH, 10)], 1, {"b": 1}),
        ([("few", PRIORITY_NORMAL, 10), ("many", PRIORITY_NORMAL, 20)], 1, {"many": 1}),
        ([("a", PRIORITY_NORMAL, 10), ("b", PRIORITY_NORMAL, 10)], 3, {"a": 1, "b": 2}),
        ([("a", PRIORITY_AUTO, 10), ("b", PRIORITY_AUTO, 10)], 4, {"a": 2, "b": 2}),
        ([("a", PRIORITY_AUTO, 10), ("b", PRIORITY_AUTO, 1)], 4, {"a": 3, "b": 1}),
        ([("a", PRIORITY_AUTO, 2)], 4, {"a": 2}),
        ([("h", PRIORITY_HIGH, 2), ("a", PRIORITY_AUTO, 9), ("b", PRIORITY_AUTO, 9)], 6, {"h": 2, "a": 2, "b": 2}),
        ([("h", PRIORITY_HIGH, 100), ("a", PRIORITY_AUTO, 9)], 4, {"h": 4}),
    ],
)
def test_cores_follow_priority_and_users(
    asked: list[tuple[str, Priority.ValueType, int]], cores: int, expected: dict[str, int]
) -> None:
    assert cores_by_name(allocate([request(*each) for each in asked], pool(cores))) == expected


@pytest.mark.requirement("WORK.1")
def test_workers_with_most_free_cores_come_first() -> None:
    (allocation,) = allocate([request("a", PRIORITY_AUTO, 5)], pool(2, 4, 3))
    assert [(p.worker_id, p.cores) for p in allocation.placements] == [("w1", 4), ("w2", 1)]
