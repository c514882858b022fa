"""What gates and workers ask of a manager, and what it refuses."""

from __future__ import annotations

from contextlib import AbstractContextManager

import pytest

from hyperscale.manager.reporting import MAX_HELD_RESULTS
from hyperscale.runtime.coordination import MemoryStore
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.v1.dispatch_pb2 import JobCancelRequest
from hyperscale.v1.gate_service_pb2 import WorkflowQueryRequest
from hyperscale.v1.job_pb2 import (
    JOB_STATUS_CANCELLED,
    JOB_STATUS_CANCELLING,
    JOB_STATUS_COMPLETED,
    JOB_STATUS_FAILED,
    WORKFLOW_STATUS_AGGREGATED,
    WORKFLOW_STATUS_DISPATCHED,
    JobFinalResult,
)
from hyperscale.v1.progress_pb2 import SHARD_STATUS_CANCELLED, SHARD_STATUS_COMPLETED
from tests.support.shards import requests_of, worker_heartbeat, workflow
from tests.support.waiting import until
from tests.unit.manager.harness import ManagerInMemory, TurnedClock, dispatch

PORT = 7001


def refusal(reason: ErrorReason) -> AbstractContextManager[object]:
    return pytest.raises(HyperscaleError, check=lambda error: error.reason == reason)


@pytest.fixture
async def running(manager: ManagerInMemory) -> ManagerInMemory:
    manager.join("worker-1", PORT, 1)
    await manager.intake.accept(dispatch("job-1", workflow("A"), workflow("B", "A"), fence=5))
    await until(lambda: manager.port.orders)
    manager.report("worker-1", "job-1/A/0", requests=1)
    return manager


async def test_a_repeated_dispatch_gets_the_same_answer_and_runs_once(running: ManagerInMemory) -> None:
    first = await running.intake.accept(dispatch("job-1", workflow("A"), workflow("B", "A"), fence=5))
    running.clock.now += 10
    again = await running.intake.accept(dispatch("job-1", workflow("A"), workflow("B", "A"), fence=5))
    assert (first, len(running.state), len(running.port.orders)) == (again, 1, 1)


async def test_a_stale_fence_is_refused(running: ManagerInMemory) -> None:
    with refusal(ErrorReason.STALE_FENCE):
        await running.intake.accept(dispatch("job-1", workflow("A"), fence=4))
    with refusal(ErrorReason.STALE_FENCE):
        await running.cancellation.cancel(JobCancelRequest(job_id="job-1", fence_token=4))


async def test_every_fault_of_a_job_is_named(manager: ManagerInMemory) -> None:
    faulty = dispatch("job/1", workflow("A", "nowhere"))
    faulty.gate_id = ""
    with pytest.raises(HyperscaleError) as caught:
        await manager.intake.accept(faulty)
    paths = [violation.path for violation in caught.value.violations]
    assert paths[:2] == ["job_id", "gate_id"]
    assert "submission.workflows[0].depends_on[0]" in paths


async def test_too_many_jobs_are_refused(store: MemoryStore, clock: TurnedClock) -> None:
    async with ManagerInMemory("manager-1", store, clock, max_active_jobs=1) as manager:
        await manager.lead()
        await manager.intake.accept(dispatch("job-1", workflow("A")))
        with refusal(ErrorReason.TOO_MANY_JOBS):
            await manager.intake.accept(dispatch("job-2", workflow("A")))


@pytest.mark.requirement("AD-20.1", "AD-20.2")
async def test_a_cancelled_job_stops_its_shards_and_ends_cancelled(running: ManagerInMemory) -> None:
    request = JobCancelRequest(job_id="job-1", fence_token=5, reason="enough")
    assert await running.cancellation.cancel(request) == JOB_STATUS_CANCELLING
    assert await running.cancellation.cancel(request) == JOB_STATUS_CANCELLING
    record = await running.ledger.find("job-1")
    assert record is not None
    assert record.status == JOB_STATUS_CANCELLING
    await until(lambda: running.port.cancels)
    assert running.status("job-1", "B") == "CANCELLED"
    running.report("worker-1", "job-1/A/0", SHARD_STATUS_CANCELLED, 7)
    result = await running.final("job-1")
    assert (result.status, requests_of(result)) == (JOB_STATUS_CANCELLED, 7)
    assert result.workflows[0].reason == "enough"
    assert await running.cancellation.cancel(request) == JOB_STATUS_CANCELLED


@pytest.mark.requirement("AD-20.2")
async def test_a_job_whose_last_shard_completes_after_the_cancellation_ends_cancelled(
    running: ManagerInMemory,
) -> None:
    await running.cancellation.cancel(JobCancelRequest(job_id="job-1"))
    running.report("worker-1", "job-1/A/0", SHARD_STATUS_COMPLETED, 7)
    result = await running.final("job-1")
    assert (result.status, requests_of(result)) == (JOB_STATUS_CANCELLED, 7)


async def test_a_worker_that_does_not_stop_is_given_up(running: ManagerInMemory) -> None:
    await running.cancellation.cancel(JobCancelRequest(job_id="job-1"))
    running.clock.now += 44
    running.upkeep.tick()
    assert running.state.find("job-1") is not None
    running.clock.now += 2
    running.upkeep.tick()
    result = await running.final("job-1")
    assert result.status == JOB_STATUS_CANCELLED
    assert "worker-1 did not confirm" in result.errors[0]


async def test_a_job_cancelled_before_it_arrives_is_refused(manager: ManagerInMemory) -> None:
    request = JobCancelRequest(job_id="job-1", fence_token=3, reason="changed my mind")
    assert await manager.cancellation.cancel(request) == JOB_STATUS_CANCELLED
    assert await manager.cancellation.cancel(request) == JOB_STATUS_CANCELLED
    (result,) = [report.final_result for report in await manager.sent() if report.HasField("final_result")]
    assert (result.job_id, result.status, result.fence_token) == ("job-1", JOB_STATUS_CANCELLED, 3)
    with refusal(ErrorReason.CANCELLED):
        await manager.intake.accept(dispatch("job-1", workflow("A"), fence=3))
    assert len(manager.state) == 0


async def test_an_ended_job_is_answered_from_the_store(running: ManagerInMemory) -> None:
    running.report("worker-1", "job-1/A/0", SHARD_STATUS_COMPLETED)
    await until(lambda: len(running.port.orders) == 2)
    running.run("worker-1", "job-1/B/0")
    await running.final("job-1")
    await running.intake.accept(dispatch("job-1", workflow("A"), workflow("B", "A"), fence=5))
    assert [report.final_result.status for report in await running.sent()] == [JOB_STATUS_COMPLETED]
    found = await running.queries.find(WorkflowQueryRequest(job_id="job-1", workflow_names=["B"]))
    assert [(each.workflow_name, each.status) for each in found] == [("B", WORKFLOW_STATUS_AGGREGATED)]


async def test_a_dispatch_of_a_newer_owner_takes_over(running: ManagerInMemory) -> None:
    newer = dispatch("job-1", workflow("A"), workflow("B", "A"), fence=6)
    newer.gate_id = "gate-2"
    assert (await running.intake.accept(newer)).gate_id == "gate-2"
    with refusal(ErrorReason.STALE_FENCE):
        await running.cancellation.cancel(JobCancelRequest(job_id="job-1", fence_token=5))


@pytest.mark.requirement("AD-32.2")
async def test_only_the_leader_takes_jobs_and_followers_name_it(
    manager: ManagerInMemory, store: MemoryStore, clock: TurnedClock
) -> None:
    async with ManagerInMemory("manager-2", store, clock) as follower:
        await until(lambda: follower.leadership.leader is not None and follower.leadership.leader.address)
        with pytest.raises(HyperscaleError) as caught:
            await follower.intake.accept(dispatch("job-1", workflow("A")))
        assert (caught.value.reason, caught.value.leader) == (ErrorReason.NOT_LEADER, "127.0.0.1:7000")
        manager.join("worker-1", PORT, 1)
        await manager.intake.accept(dispatch("job-1", workflow("A")))
        await until(lambda: manager.port.orders)
        (info,) = await follower.queries.find(WorkflowQueryRequest())
        assert (info.status, list(info.assigned_workers)) == (WORKFLOW_STATUS_DISPATCHED, ["worker-1"])


@pytest.mark.requirement("AD-32.2")
async def test_a_new_leader_ends_what_was_under_way(
    running: ManagerInMemory, store: MemoryStore, clock: TurnedClock, lease_clock: TurnedClock
) -> None:
    await running.intake.accept(dispatch("job-2", workflow("A")))
    await running.cancellation.cancel(JobCancelRequest(job_id="job-2"))
    await until(lambda: running.state.find("job-2") is None)
    async with ManagerInMemory("manager-2", store, clock) as successor:
        lease_clock.now += 60
        await successor.lead()
        await until(lambda: not running.leadership.is_ready)
        assert len(running.state) == 0
        results = {
            report.final_result.job_id: report.final_result
            for report in await successor.sent()
            if report.HasField("final_result")
        }
        assert results["job-1"].status == JOB_STATUS_FAILED
        assert "manager-2 leads now" in results["job-1"].errors[0]
        assert results["job-2"].status == JOB_STATUS_CANCELLED
        successor.join("worker-1", PORT, 1)
        successor.heartbeats.take(worker_heartbeat("worker-1", PORT, 1, "job-1/A/0"))
        await until(lambda: successor.port.cancels)
        (_, cancel) = successor.port.cancels[0]
        assert (cancel.job_id, successor.port.stopped()) == ("job-1", [(PORT, "job-1/A/0")])
        lease = successor.leadership.require()
        assert cancel.fence_token == lease.token > running.port.orders[0][1].fence_token


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("cluster_id", "other", ErrorReason.WRONG_CLUSTER),
        ("environment_id", "other", ErrorReason.WRONG_CLUSTER),
        ("datacenter", "other", ErrorReason.WRONG_CLUSTER),
        ("role", 1, ErrorReason.INVALID_ARGUMENT),
        ("node_id", "", ErrorReason.INVALID_ARGUMENT),
    ],
)
async def test_a_worker_from_elsewhere_is_refused(
    manager: ManagerInMemory, name: str, value: object, reason: ErrorReason
) -> None:
    heartbeat = worker_heartbeat("worker-1", PORT, 1)
    setattr(heartbeat.node, name, value)
    with refusal(reason):
        manager.workers.register(heartbeat)
    assert len(manager.workers) == 0


async def test_results_for_an_unknown_gate_wait_for_it_and_are_bounded(manager: ManagerInMemory) -> None:
    for number in range(MAX_HELD_RESULTS + 10):
        manager.reports.send_final("gate-9", JobFinalResult(job_id=f"job-{number}"))
    assert manager.reports.held_results == MAX_HELD_RESULTS
    manager.reports.met("127.0.0.1:1", "gate-9")
    assert manager.reports.held_results == 0
    assert (await manager.sent())[0].final_result.job_id == "job-10"


async def test_nothing_is_kept_of_jobs_that_have_ended(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT, 2)
    for number in range(200):
        job_id = f"job-{number}"
        await manager.intake.accept(dispatch(job_id, workflow("A")))
        await until(lambda: len(manager.port.orders) > number)  # noqa: B023
        manager.run("worker-1", f"{job_id}/A/0")
        await manager.final(job_id)
    assert len(manager.state) == 0
    assert len(manager.outbox) == 0
    assert manager.reports.held_results == 0
    assert [status.reserved_cores for status in manager.workers.statuses()] == [0]
    await until(lambda: set(manager.supervisor.running) == {"leadership", "scheduling"})
    assert not manager.supervisor.failures


def test_a_worker_that_has_not_registered_here_cannot_open_a_stream(manager: ManagerInMemory) -> None:
    with refusal(ErrorReason.NOT_REGISTERED):
        manager.workers.connect("worker-1")
