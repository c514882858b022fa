"""Jobs on a real manager process."""

from __future__ import annotations

import asyncio
import signal
import time

import grpc
import pytest

from hyperscale.runtime.errors import ErrorReason
from hyperscale.v1.gate_service_pb2 import WorkflowQueryRequest
from hyperscale.v1.job_pb2 import (
    JOB_STATUS_CANCELLED,
    JOB_STATUS_CANCELLING,
    JOB_STATUS_COMPLETED,
    JOB_STATUS_FAILED,
    JOB_STATUS_QUEUED,
    JOB_STATUS_RUNNING,
    WORKFLOW_STATUS_FAILED,
    WORKFLOW_STATUS_RUNNING,
)
from tests.integration.manager.conftest import Datacenter, ManagerProcess, refused
from tests.integration.manager.fakes import FakeGate, FakeWorker
from tests.support.shards import requests_of, workflow
from tests.support.waiting import until


@pytest.fixture
def gate(datacenter: Datacenter) -> FakeGate:
    return datacenter.gate


async def test_a_job_runs_over_two_workers_and_its_totals_are_exact(manager: ManagerProcess, gate: FakeGate) -> None:
    async with FakeWorker("worker-1", 2, manager.address) as one, FakeWorker("worker-2", 1, manager.address) as two:
        ack = await manager.submit("job-1", workflow(users=10, iterations=101))
        assert ack.job_id == "job-1"
        first, second = await one.given("job-1/browse/0"), await two.given("job-1/browse/1")
        assert [first.workflow.shared_iterations.vus, second.workflow.shared_iterations.vus] == [7, 3]
        assert first.manager_id == "manager-1"
        await one.run("job-1/browse/0", 70)
        await until(lambda: gate.progress("job-1")[-1].status == JOB_STATUS_RUNNING, "job running")
        await two.run("job-1/browse/1", 31)
        result = await gate.final("job-1")
    assert (result.status, requests_of(result), list(result.errors)) == (JOB_STATUS_COMPLETED, 101, [])
    assert (result.datacenter, result.fence_token, result.started_at.seconds) == ("dc-1", 1, 1_700_000_000)
    sequences = [progress.progress_sequence for progress in gate.progress("job-1")]
    assert sequences == sorted(set(sequences))
    windows = [frame.window for frame in gate.frames if frame.HasField("window")]
    assert sum(step.total_count for window in windows for step in window.statistics[0].steps) > 0


async def test_a_dependent_starts_while_a_sibling_still_runs(manager: ManagerProcess, gate: FakeGate) -> None:
    async with FakeWorker("worker-1", 2, manager.address) as worker:
        await manager.submit("job-1", workflow("A", users=1), workflow("B", "A", users=1), workflow("C", users=1))
        await worker.given("job-1/A/0")
        await worker.given("job-1/C/0")
        await worker.report("job-1/C/0")
        assert "job-1/B/0" not in worker.orders
        await worker.run("job-1/A/0", 1)
        await worker.given("job-1/B/0")
        answer = await manager.stub.QueryWorkflows(WorkflowQueryRequest(job_id="job-1", workflow_names=["C"]))
        assert [each.status for each in answer.workflows] == [WORKFLOW_STATUS_RUNNING]
        await worker.run("job-1/B/0", 2)
        await worker.run("job-1/C/0", 4)
        result = await gate.final("job-1")
    assert (result.status, requests_of(result)) == (JOB_STATUS_COMPLETED, 7)


async def test_a_lost_worker_fails_the_job_in_time_and_keeps_its_counts(
    manager: ManagerProcess, gate: FakeGate
) -> None:
    async with FakeWorker("worker-1", 1, manager.address) as one, FakeWorker("worker-2", 1, manager.address) as two:
        await manager.submit("job-1", workflow(), workflow("after", "browse"))
        await until(lambda: one.orders and two.orders, "both dispatched")
        (lost,), (kept,) = one.orders, two.orders
        await one.report(lost, requests=5)
        await two.report(kept, requests=6)
        await until(lambda: one.acknowledged and two.acknowledged, "reports acknowledged")
        killed_at = time.monotonic()
        await one.disconnect()
        await two.confirm_cancel(kept, 8)
        result = await gate.final("job-1")
        assert time.monotonic() - killed_at < 15
    assert (result.status, requests_of(result)) == (JOB_STATUS_FAILED, 13)
    assert "worker-1 was lost" in result.errors[0]
    assert [each.status for each in result.workflows] == [WORKFLOW_STATUS_FAILED, WORKFLOW_STATUS_FAILED]


@pytest.mark.requirement("AD-20.1", "AD-20.2")
async def test_a_cancelled_job_is_stopped_at_its_workers(manager: ManagerProcess, gate: FakeGate) -> None:
    async with FakeWorker("worker-1", 1, manager.address) as worker:
        await manager.submit("job-1", workflow())
        await worker.given("job-1/browse/0")
        await worker.report("job-1/browse/0", requests=3)
        assert await manager.cancel("job-1") == JOB_STATUS_CANCELLING
        assert await manager.cancel("job-1") == JOB_STATUS_CANCELLING
        await worker.confirm_cancel("job-1/browse/0", 9)
        result = await gate.final("job-1")
        assert (result.status, requests_of(result)) == (JOB_STATUS_CANCELLED, 9)
        assert await manager.cancel("job-1") == JOB_STATUS_CANCELLED


async def test_a_job_cancelled_before_it_arrives_never_runs(manager: ManagerProcess, gate: FakeGate) -> None:
    async with FakeWorker("worker-1", 1, manager.address) as worker:
        assert await manager.cancel("job-1") == JOB_STATUS_CANCELLED
        assert (await gate.final("job-1")).status == JOB_STATUS_CANCELLED
        error = await refused(manager.submit("job-1", workflow()))
        assert error.reason == ErrorReason.CANCELLED
        assert "before it arrived" in error.message
        assert not worker.orders


async def test_a_dispatch_runs_once_and_a_stale_one_is_refused(manager: ManagerProcess, gate: FakeGate) -> None:
    async with FakeWorker("worker-1", 1, manager.address) as worker:
        acks = await asyncio.gather(*(manager.submit("job-1", workflow(), fence=7) for _ in range(5)))
        assert all(ack == acks[0] for ack in acks)
        error = await refused(manager.submit("job-1", workflow(), fence=6))
        assert (error.reason, error.metadata["current_token"]) == (ErrorReason.STALE_FENCE, "7")
        await worker.run("job-1/browse/0", 5)
        assert requests_of(await gate.final("job-1")) == 5
        assert await manager.submit("job-1", workflow(), fence=7) == acks[0]
        assert len(worker.orders) == 1


async def test_faulty_jobs_are_refused_with_every_fault(manager: ManagerProcess) -> None:
    error = await refused(manager.submit("job-1", workflow("A", "nowhere"), workflow("A")))
    assert error.reason == ErrorReason.INVALID_ARGUMENT
    assert len(error.violations) >= 2
    assert all(violation.path.startswith("submission.workflows") for violation in error.violations)


async def test_a_job_waits_for_a_worker(manager: ManagerProcess, gate: FakeGate) -> None:
    await manager.submit("job-1", workflow())
    await until(lambda: gate.progress("job-1") and gate.progress("job-1")[-1].status == JOB_STATUS_QUEUED, "job queued")
    async with FakeWorker("worker-1", 1, manager.address) as worker:
        await worker.run("job-1/browse/0", 5)
        assert (await gate.final("job-1")).status == JOB_STATUS_COMPLETED


async def test_a_worker_that_refuses_is_passed_over(manager: ManagerProcess, gate: FakeGate) -> None:
    async with FakeWorker("worker-1", 2, manager.address) as one, FakeWorker("worker-2", 1, manager.address) as two:
        one.refusal = grpc.StatusCode.RESOURCE_EXHAUSTED
        await manager.submit("job-1", workflow(users=1))
        await two.run("job-1/browse/0", 5)
        result = await gate.final("job-1")
    assert (result.status, requests_of(result)) == (JOB_STATUS_COMPLETED, 5)


@pytest.mark.parametrize("name", ["cluster_id", "environment_id", "datacenter"])
async def test_a_worker_from_elsewhere_is_refused(manager: ManagerProcess, name: str) -> None:
    async with FakeWorker("worker-1", 1, manager.address) as worker:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await worker.register(**{name: "elsewhere"})
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "elsewhere" in (caught.value.details() or "")


async def test_what_a_gate_has_not_acknowledged_is_sent_again(manager: ManagerProcess, gate: FakeGate) -> None:
    gate.acknowledges = False
    async with FakeWorker("worker-1", 1, manager.address) as worker:
        await manager.submit("job-1", workflow())
        await worker.run("job-1/browse/0", 5)
        await gate.final("job-1")
        await gate.stop()
        gate.frames.clear()
        gate.acknowledges = True
        await gate.start()
        assert requests_of(await gate.final("job-1")) == 5


async def test_sigterm_ends_what_runs_and_reports_it(manager: ManagerProcess, gate: FakeGate) -> None:
    async with FakeWorker("worker-1", 1, manager.address) as worker:
        await manager.submit("job-1", workflow())
        await worker.given("job-1/browse/0")
        await worker.report("job-1/browse/0", requests=3)
        ending = asyncio.ensure_future(manager.end(signal.SIGTERM))
        await worker.confirm_cancel("job-1/browse/0", 4)
        assert await ending == 0
    result = await gate.final("job-1")
    assert (result.status, requests_of(result)) == (JOB_STATUS_FAILED, 4)
    assert "shut down" in result.errors[0]


async def test_load_of_a_worker_whose_answer_was_lost_is_in_the_totals(manager: ManagerProcess, gate: FakeGate) -> None:
    lossy = FakeWorker("worker-1", 2, manager.address, loses_answers=True)
    async with lossy as one, FakeWorker("worker-2", 1, manager.address) as two:
        await manager.submit("job-1", workflow(users=1, iterations=101))
        await one.run("job-1/browse/0", 60)
        result = await gate.final("job-1")
        assert (result.status, requests_of(result)) == (JOB_STATUS_COMPLETED, 60)
        await manager.submit("job-2", workflow(users=1, iterations=101))
        await one.given("job-2/browse/0")
        await one.report("job-2/browse/0", requests=5)
        await manager.cancel("job-2")
        await one.confirm_cancel("job-2/browse/0", 7)
        result = await gate.final("job-2")
        assert (result.status, requests_of(result)) == (JOB_STATUS_CANCELLED, 7)
        assert two.orders == {}
