"""Whatever comes twice, late or from elsewhere changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperscale.manager.stats import JobStatistics
from hyperscale.v1.job_pb2 import JOB_STATUS_COMPLETED, JOB_STATUS_FAILED, WORKFLOW_STATUS_AGGREGATION_FAILED
from hyperscale.v1.progress_pb2 import SHARD_STATUS_COMPLETED, WorkflowProgress
from hyperscale.v1.statistics_pb2 import Histogram, StepStats, WorkflowStats
from tests.support.shards import requests_of, stats, workflow
from tests.support.waiting import until
from tests.unit.manager.harness import ManagerInMemory, dispatch

PORT = 7001
SHARD = "job-1/A/0"


@pytest.fixture
async def running(manager: ManagerInMemory) -> ManagerInMemory:
    """A manager whose one worker runs the one shard of a job."""
    manager.join("worker-1", PORT, 1)
    await manager.intake.accept(dispatch("job-1", workflow("A")))
    await until(lambda: manager.port.orders)
    return manager


def total(manager: ManagerInMemory) -> int:
    return sum(step.total_count for each in manager.job("job-1").statistics.totals() for step in each.steps)


@pytest.mark.requirement("AD-14.1")
async def test_a_repeated_report_counts_once(running: ManagerInMemory) -> None:
    report = running.report("worker-1", SHARD, requests=5)
    for _ in range(3):
        running.progress.take("worker-1", report)
    assert total(running) == 5


@pytest.mark.requirement("AD-10.2")
async def test_an_older_report_is_dropped(running: ManagerInMemory) -> None:
    older = running.report("worker-1", SHARD, requests=5)
    running.report("worker-1", SHARD, requests=9)
    running.progress.take("worker-1", older)
    assert total(running) == 9


@pytest.mark.requirement("AD-10.2")
@pytest.mark.parametrize(
    "change",
    [{"attempt": 2}, {"fence_token": 999}, {"shard_id": "job-1/A/7"}, {"shard_id": "x"}, {"job_id": "other"}],
)
async def test_reports_of_anything_else_are_dropped(running: ManagerInMemory, change: dict[str, object]) -> None:
    report = running.report("worker-1", SHARD, requests=5)
    stranger = WorkflowProgress()
    stranger.CopyFrom(report)
    stranger.progress_sequence += 1
    stranger.status = SHARD_STATUS_COMPLETED
    stranger.totals.CopyFrom(stats("A", 50))
    for name, value in change.items():
        setattr(stranger, name, value)
    running.progress.take("worker-1", stranger)
    assert (total(running), running.status("job-1", "A")) == (5, "RUNNING")


async def test_a_report_of_another_worker_is_dropped(running: ManagerInMemory) -> None:
    running.report("worker-9", SHARD, SHARD_STATUS_COMPLETED, requests=5)
    assert (total(running), running.status("job-1", "A")) == (0, "DISPATCHED")


async def test_totals_after_the_end_do_not_change_the_outcome(running: ManagerInMemory) -> None:
    running.report("worker-1", SHARD)
    end = running.report("worker-1", SHARD, SHARD_STATUS_COMPLETED, requests=5)
    running.progress.take("worker-1", end)
    result = await running.final("job-1")
    running.progress.take("worker-1", end)
    assert (result.status, requests_of(result)) == (JOB_STATUS_COMPLETED, 5)


async def test_totals_that_cannot_be_merged_fail_the_aggregation(running: ManagerInMemory) -> None:
    running.report("worker-1", SHARD)
    broken = WorkflowStats(steps=[StepStats(step_name="get", duration_ms=Histogram(zero_count=1, min=2.0, max=1.0))])
    running.report("worker-1", SHARD, SHARD_STATUS_COMPLETED, totals=broken)
    result = await running.final("job-1")
    assert result.status == JOB_STATUS_FAILED
    assert result.workflows[0].status == WORKFLOW_STATUS_AGGREGATION_FAILED
    assert SHARD in result.errors[0]


async def test_a_second_is_sent_once_its_tolerance_is_over(running: ManagerInMemory) -> None:
    second = int(running.clock.now)
    running.report("worker-1", SHARD, requests=3, windows=[running.window(second, "A", 3)])
    running.clock.now = second + 1.2
    running.upkeep.tick()
    assert not [report for report in await running.sent() if report.HasField("window")]
    running.clock.now = second + 1.3
    running.upkeep.tick()
    (window,) = [report.window for report in await running.sent() if report.HasField("window")]
    assert (window.window_start.seconds, window.statistics[0].steps[0].total_count) == (second, 3)


async def test_a_late_second_changes_the_totals_only(running: ManagerInMemory) -> None:
    second = int(running.clock.now)
    running.report("worker-1", SHARD, requests=3, windows=[running.window(second, "A", 3)])
    running.clock.now += 10
    running.upkeep.tick()
    await running.sent()
    running.report("worker-1", SHARD, requests=8, windows=[running.window(second, "A", 5)])
    running.upkeep.tick()
    assert not [report for report in await running.sent() if report.HasField("window")]
    assert total(running) == 8


async def test_the_last_seconds_are_sent_before_the_result(running: ManagerInMemory) -> None:
    second = int(running.clock.now)
    running.report("worker-1", SHARD)
    running.report("worker-1", SHARD, SHARD_STATUS_COMPLETED, 3, windows=[running.window(second, "A", 3)])
    await until(lambda: running.state.find("job-1") is None)
    kinds = [report.WhichOneof("report") for report in await running.sent()]
    assert kinds[-2:] == ["window", "final_result"]


@pytest.mark.requirement("AD-14.1")
@settings(deadline=None)
@given(st.permutations([(slot, sequence) for slot in range(3) for sequence in (1, 2, 3)]), st.integers(0, 8))
def test_totals_are_the_same_in_any_order(reports: list[tuple[int, int]], repeated: int) -> None:
    statistics = JobStatistics("job-1", "dc", 0.25)
    for slot, sequence in [*reports, reports[repeated]]:
        statistics.add_totals((f"shard-{slot}", 1), sequence, stats("A", 10 * sequence + slot))
    (merged,) = statistics.totals()
    assert merged.steps[0].total_count == 30 + 31 + 32


async def test_progress_numbers_rise(running: ManagerInMemory) -> None:
    for requests in (1, 2, 3):
        running.report("worker-1", SHARD, requests=requests)
        running.events.job_changed(running.job("job-1"))
        running.reporter.flush()
    progress = [report.progress for report in await running.sent() if report.HasField("progress")]
    assert [each.statistics[0].steps[0].total_count for each in progress] == [3]
    assert progress[0].progress_sequence >= 3
