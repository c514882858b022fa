"""Workers whose answer to a dispatch was lost: all that they count is in the totals, once."""

from __future__ import annotations

import pytest

from hyperscale.manager.models.job import ShardPhase
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.v1.dispatch_pb2 import JobCancelRequest
from hyperscale.v1.job_pb2 import JOB_STATUS_CANCELLED, JOB_STATUS_COMPLETED
from hyperscale.v1.progress_pb2 import SHARD_STATUS_CANCELLED, SHARD_STATUS_COMPLETED
from tests.support.shards import progress_of, requests_of, worker_heartbeat, workflow
from tests.support.waiting import until
from tests.unit.manager.harness import ManagerInMemory, dispatch

PORT_1, PORT_2 = 7001, 7002
LATE = HyperscaleError(ErrorReason.DEADLINE_EXCEEDED)


async def unanswered(manager: ManagerInMemory) -> None:
    """Give the manager a job of which it cannot know whether worker-1 has begun it."""
    await manager.intake.accept(dispatch("job-1", workflow("A", users=1)))
    await until(lambda: [shard for shard in manager.job("job-1").shards() if shard.phase is ShardPhase.UNANSWERED])


def is_silent(manager: ManagerInMemory, seconds: float) -> None:
    """Heartbeats of worker-1, for a while, without any shard."""
    manager.heartbeats.take(worker_heartbeat("worker-1", PORT_1, 2))
    manager.clock.now += seconds
    manager.heartbeats.take(worker_heartbeat("worker-1", PORT_1, 2))


@pytest.mark.parametrize("reason", [ErrorReason.DEADLINE_EXCEEDED, ErrorReason.PEER_UNREACHABLE, ErrorReason.CANCELLED])
async def test_a_worker_that_runs_a_shard_keeps_it(manager: ManagerInMemory, reason: ErrorReason) -> None:
    manager.join("worker-1", PORT_1, 2)
    manager.join("worker-2", PORT_2, 1)
    manager.port.lost_answers[PORT_1] = HyperscaleError(reason)
    await unanswered(manager)
    assert "waits to hear whether worker worker-1" in manager.job("job-1").workflows["A"].waits_for
    assert [worker.reserved_cores for worker in manager.workers.statuses()] == [1, 0]
    manager.heartbeats.take(worker_heartbeat("worker-1", PORT_1, 2, "job-1/A/0"))
    assert manager.status("job-1", "A") == "DISPATCHED"
    manager.run("worker-1", "job-1/A/0", 4)
    result = await manager.final("job-1")
    assert (result.status, requests_of(result), manager.port.cancels) == (JOB_STATUS_COMPLETED, 4, [])
    assert [port for port, _ in manager.port.orders] == [PORT_1]


async def test_a_report_says_as_much_as_an_answer(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 2)
    manager.port.lost_answers[PORT_1] = LATE
    await unanswered(manager)
    manager.report("worker-1", "job-1/A/0", requests=3)
    assert manager.status("job-1", "A") == "RUNNING"
    manager.report("worker-1", "job-1/A/0", SHARD_STATUS_COMPLETED, 7)
    result = await manager.final("job-1")
    assert (result.status, requests_of(result)) == (JOB_STATUS_COMPLETED, 7)


async def test_a_shard_that_its_worker_did_not_get_goes_to_whoever_has_room(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 2)
    manager.port.refusals[PORT_1] = LATE
    await unanswered(manager)
    manager.join("worker-2", PORT_2, 1)
    is_silent(manager, 2.9)
    assert manager.port.orders == []
    is_silent(manager, 0.2)
    await until(lambda: manager.port.orders)
    ((port, order),) = manager.port.orders
    assert (port, order.attempt) == (PORT_2, 2)


async def test_a_cancelled_job_has_what_the_worker_counted(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 2)
    manager.port.lost_answers[PORT_1] = LATE
    await unanswered(manager)
    await manager.cancellation.cancel(JobCancelRequest(job_id="job-1"))
    await until(lambda: manager.port.cancels)
    assert manager.port.stopped() == [(PORT_1, "job-1/A/0")]
    manager.report("worker-1", "job-1/A/0", SHARD_STATUS_CANCELLED, 5)
    result = await manager.final("job-1")
    assert (result.status, requests_of(result)) == (JOB_STATUS_CANCELLED, 5)


async def test_a_cancelled_job_ends_when_the_worker_has_nothing(manager: ManagerInMemory) -> None:
    manager.join("worker-1", PORT_1, 2)
    manager.port.refusals[PORT_1] = LATE
    await unanswered(manager)
    await manager.cancellation.cancel(JobCancelRequest(job_id="job-1"))
    is_silent(manager, 3.1)
    result = await manager.final("job-1")
    assert (result.status, list(result.errors)) == (JOB_STATUS_CANCELLED, [])


async def test_what_a_worker_counted_that_was_lost_meanwhile_counts_when_it_comes_back(
    manager: ManagerInMemory,
) -> None:
    manager.join("worker-1", PORT_1, 2)
    manager.port.lost_answers[PORT_1] = LATE
    await unanswered(manager)
    former = manager.port.order("job-1/A/0")
    manager.part("worker-1")
    manager.clock.now += 3.1
    manager.upkeep.tick()
    manager.join("worker-2", PORT_2, 1)
    await until(lambda: len(manager.port.orders) == 2)
    manager.join("worker-1", PORT_1, 2)
    manager.heartbeats.take(worker_heartbeat("worker-1", PORT_1, 2, "job-1/A/0"))
    await until(lambda: manager.port.stopped() == [(PORT_1, "job-1/A/0")])
    for requests, sequence in ((3, 1), (5, 2), (5, 2)):
        manager.progress.take("worker-1", progress_of(former, sequence, requests, status=SHARD_STATUS_CANCELLED))
    manager.run("worker-2", "job-1/A/0", 7)
    result = await manager.final("job-1")
    assert (result.status, requests_of(result)) == (JOB_STATUS_COMPLETED, 12)
