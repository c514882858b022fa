"""What a manager says of its cores: those in use, until when, and what waits for some."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.manager.capacity import MAX_ENTRIES, folded
from hyperscale.manager.models.capacity import CoreUse
from hyperscale.manager.models.job import ShardPhase
from hyperscale.runtime.coordination import MemoryStore
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.v1.node_pb2 import NODE_STATE_DRAINING
from hyperscale.v1.workflow_pb2 import PRIORITY_EXCLUSIVE, Priority, Workflow
from hyperscale.workload.timestamps import duration, seconds_of
from tests.support.shards import worker_heartbeat, workflow
from tests.support.waiting import until
from tests.unit.manager.harness import ManagerInMemory, dispatch

PORT_1, PORT_2 = 7001, 7002


def lasting(
    name: str, seconds: float, *after: str, users: int = 1, priority: Priority.ValueType = Priority.PRIORITY_AUTO
) -> Workflow:
    load = workflow(name, *after, priority=priority)
    load.constant_vus.vus = users
    load.constant_vus.duration.CopyFrom(duration(seconds))
    return load


def busy(manager: ManagerInMemory) -> list[tuple[int, float]]:
    return [(use.cores, round(seconds_of(use.ends_in), 1)) for use in manager.health.heartbeat().busy]


def waiting(manager: ManagerInMemory) -> list[tuple[int, float]]:
    return [(work.cores, seconds_of(work.lasts)) for work in manager.health.heartbeat().waiting]


def all_placed(manager: ManagerInMemory, job_id: str, name: str) -> bool:
    shards = manager.job(job_id).workflows[name].shards
    return bool(shards) and all(shard.phase is ShardPhase.PLACED for shard in shards)


async def under_way(manager: ManagerInMemory, job_id: str, *workflows: Workflow) -> None:
    """Hand a job out and wait until workers have its first workflow."""
    await manager.intake.accept(dispatch(job_id, *workflows))
    await until(lambda: all_placed(manager, job_id, workflows[0].name))


async def test_cores_in_use_come_free_when_their_load_ends_at_the_latest(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 3)
    await under_way(manager, "job-1", lasting("A", 60), lasting("B", 20, "A"))
    await under_way(manager, "job-2", lasting("C", 30, users=2))
    news = manager.health.heartbeat()
    assert (news.total_cores, news.available_cores, news.queued_jobs) == (3, 0, 0)
    assert busy(manager) == [(2, 30.1), (1, 60.1)]
    manager.clock.now += 25.1
    assert busy(manager) == [(2, 5.0), (1, 35.0)]
    assert waiting(manager) == []


async def test_a_load_that_is_over_may_still_stop_gracefully(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 1)
    await under_way(manager, "job-1", lasting("A", 10))
    manager.clock.now += 15.1
    assert busy(manager) == [(1, 25.0)]
    manager.clock.now += 600
    assert busy(manager) == [(1, 1.0)]


async def test_a_load_of_iterations_ends_when_they_are_done_at_the_pace_so_far(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 1)
    manager.join("worker-2", PORT_2, 1)
    await under_way(manager, "job-1", workflow("A", users=2, iterations=100))
    assert busy(manager) == [(2, 600.1)]
    manager.clock.now += 10.1
    first, second = manager.job("job-1").workflows["A"].shards
    manager.report(first.worker_id, first.shard_id, requests=10)
    assert busy(manager) == [(1, 40.0), (1, 590.0)]
    manager.report(second.worker_id, second.shard_id, requests=50)
    assert busy(manager) == [(1, 1.0), (1, 40.0)]


async def test_what_is_being_stopped_is_expected_to_end_in_its_grace(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 1)
    await under_way(manager, "job-1", lasting("A", 3600))
    manager.progression.fail_job(manager.job("job-1"), "enough", 5.0)
    assert busy(manager) == [(1, 5.0)]


async def test_only_what_could_start_waits_for_cores(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 2)
    await under_way(manager, "job-1", lasting("A", 60, users=2), lasting("B", 20, "A"))
    await manager.intake.accept(dispatch("job-2", lasting("C", 30, users=50), lasting("D", 40), lasting("E", 9, "C")))
    await manager.intake.accept(dispatch("job-3", lasting("F", 7, users=9, priority=PRIORITY_EXCLUSIVE)))
    assert waiting(manager) == [(1, 30.0), (1, 40.0), (2, 7.0)]
    news = manager.health.heartbeat()
    assert (news.active_jobs, news.queued_jobs) == (3, 2)


async def test_an_exclusive_workflow_has_every_core(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 4)
    await under_way(manager, "job-1", lasting("A", 60, priority=PRIORITY_EXCLUSIVE))
    assert busy(manager) == [(4, 60.1)]
    assert manager.health.heartbeat().available_cores == 0


async def test_a_shard_whose_worker_refused_waits_for_its_cores(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 1)
    manager.join("worker-2", PORT_2, 1)
    manager.port.refusals[PORT_2] = HyperscaleError(ErrorReason.INSUFFICIENT_CORES)
    await manager.intake.accept(dispatch("job-1", lasting("A", 60, users=2)))
    await until(lambda: busy(manager) and waiting(manager))
    assert busy(manager) == [(1, 60.1)]
    assert [(cores, round(seconds, 1)) for cores, seconds in waiting(manager)] == [(1, 60.1)]


async def test_a_manager_that_does_not_lead_says_what_workers_say(manager: ManagerInMemory, store: MemoryStore) -> None:
    news = worker_heartbeat("worker-1", PORT_1, 4)
    news.available_cores = 1
    async with ManagerInMemory("manager-2", store, manager.clock) as follower:
        follower.workers.register(news)
        follower.workers.connect("worker-1")
        heard = follower.health.heartbeat()
    assert (heard.is_leader, heard.total_cores, heard.available_cores, heard.worker_count) == (False, 4, 1, 1)


async def test_workers_that_leave_are_not_healthy_and_have_no_free_cores(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 2)
    manager.join("worker-2", PORT_2, 3)
    leaving = worker_heartbeat("worker-2", PORT_2, 3)
    leaving.node.state = NODE_STATE_DRAINING
    manager.workers.update(leaving)
    news = manager.health.heartbeat()
    assert (news.worker_count, news.healthy_worker_count) == (2, 1)
    assert (news.total_cores, news.available_cores) == (5, 2)


async def test_the_group_is_told_in_brief(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 1)
    await under_way(manager, "job-1", lasting("A", 60))
    await manager.intake.accept(dispatch("job-2", lasting("B", 60)))
    vitals = manager.health.vitals()
    assert (vitals.active_jobs, len(vitals.busy), len(vitals.waiting)) == (2, 0, 0)


@given(st.lists(st.builds(CoreUse, st.integers(1, 100), st.floats(0.001, 1e6)), max_size=200))
def test_folding_keeps_cores_and_core_seconds(uses: list[CoreUse]) -> None:
    bounded = folded(uses, MAX_ENTRIES)
    assert len(bounded) == min(len(uses), MAX_ENTRIES)
    assert sum(use.cores for use in bounded) == sum(use.cores for use in uses)
    core_seconds = sum(use.cores * use.seconds for use in uses)
    assert sum(use.cores * use.seconds for use in bounded) == pytest.approx(core_seconds)
    assert list(bounded[: MAX_ENTRIES - 1]) == uses[: MAX_ENTRIES - 1]
