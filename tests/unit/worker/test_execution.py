"""One attempt at a shard, from the reports of its engines to its end."""

from collections.abc import Sequence

import pytest

from hyperscale.v1.dispatch_pb2 import WorkflowDispatch
from hyperscale.v1.engine_pb2 import EngineProgress, EngineReport
from hyperscale.v1.progress_pb2 import (
    SHARD_STATUS_CANCELLED,
    SHARD_STATUS_COMPLETED,
    SHARD_STATUS_FAILED,
    SHARD_STATUS_RUNNING,
    ShardStatus,
    WorkflowProgress,
)
from hyperscale.v1.statistics_pb2 import Histogram, StatsWindow, StepStats, WorkflowStats
from hyperscale.v1.workflow_pb2 import Workflow
from hyperscale.worker.execution import ShardExecution, parts_of
from hyperscale.worker.models.engines import EngineExit, EngineOrder, StopStage
from hyperscale.worker.models.shards import (
    EngineShare,
    ExecutionSettings,
    ShardStopCause,
    StopLimits,
    StopReason,
)
from hyperscale.worker.models.time import Moment
from hyperscale.workload.profiles import load_iterations, load_vus

SETTINGS = ExecutionSettings(
    "worker-1", engine_stall_seconds=10, interrupt_seconds=3, window_tolerance_seconds=0.25, extension_lead_seconds=5
)
LIMITS = StopLimits(graceful_seconds=5, interrupt_seconds=3)
CANCEL = StopReason(ShardStopCause.CANCELLED, "enough")
BREAK = StopReason(ShardStopCause.BROKEN, "worker worker-1 was shut down")
RUN_ID = 7


def at(seconds: float) -> Moment:
    """So long after the start; the wall clock shows 1000 then."""
    return Moment(monotonic=seconds, wall=1000 + seconds)


def execution(engines: int = 2) -> ShardExecution:
    dispatch = WorkflowDispatch(job_id="job", shard_id="job/w/0", attempt=1, fence_token=5)
    dispatch.workflow.name = "w"
    shares = [EngineShare(slot, 100 + slot) for slot in range(engines)]
    return ShardExecution(dispatch, RUN_ID, shares, SETTINGS, at(0))


def measured(iterations: int, vus: int = 1) -> WorkflowStats:
    return WorkflowStats(
        workflow_name="w",
        steps=[StepStats(step_name="home", total_count=iterations)],
        iterations=iterations,
        vus=vus,
        vus_max=2,
    )


def report(
    iterations: int,
    status: ShardStatus.ValueType = SHARD_STATUS_RUNNING,
    *,
    windows: Sequence[int] = (),
    error: str = "",
    run_id: int = RUN_ID,
) -> EngineReport:
    progress = EngineProgress(status=status, totals=measured(iterations), error=error)
    for second in windows:
        window = StatsWindow(stats=measured(1))
        window.window_start.seconds = second
        progress.windows.append(window)
    return EngineReport(run_id=run_id, progress=progress)


def frame(shard: ShardExecution, now: Moment) -> WorkflowProgress:
    shard.advance(now)
    return shard.frame(now)


def test_totals_are_the_sum_of_what_engines_counted() -> None:
    shard = execution()
    shard.engine_reported(0, report(10), at(1))
    shard.engine_reported(1, report(5), at(1))
    shard.engine_reported(0, report(30), at(2))
    running = frame(shard, at(2))
    assert (running.status, running.totals.iterations, running.totals.vus) == (SHARD_STATUS_RUNNING, 35, 2)
    shard.engine_reported(0, report(40, SHARD_STATUS_COMPLETED), at(3))
    shard.engine_reported(1, report(20, SHARD_STATUS_COMPLETED), at(3))
    final = frame(shard, at(3))
    assert (final.status, final.totals.iterations) == (SHARD_STATUS_COMPLETED, 60)
    assert [step.total_count for step in final.totals.steps] == [60]
    assert (final.totals.vus, final.totals.vus_max) == (0, 4)


def test_a_shard_runs_until_its_last_engine_has_ended() -> None:
    shard = execution()
    shard.engine_reported(0, report(1, SHARD_STATUS_COMPLETED), at(1))
    assert not shard.is_finished
    shard.engine_reported(1, report(1, SHARD_STATUS_COMPLETED), at(2))
    assert shard.is_finished


def test_reports_of_another_run_or_after_the_end_change_nothing() -> None:
    shard = execution(1)
    shard.engine_reported(0, report(99, run_id=RUN_ID - 1), at(1))
    shard.engine_reported(3, report(99), at(1))
    shard.engine_reported(0, report(7, SHARD_STATUS_COMPLETED), at(2))
    shard.engine_reported(0, report(99, SHARD_STATUS_FAILED), at(3))
    final = frame(shard, at(3))
    assert (final.status, final.totals.iterations) == (SHARD_STATUS_COMPLETED, 7)


def test_sequences_of_frames_strictly_increase() -> None:
    shard = execution()
    assert [frame(shard, at(second)).progress_sequence for second in range(4)] == [1, 2, 3, 4]


def test_a_window_closes_when_every_running_engine_has_delivered_it() -> None:
    shard = execution()
    frame(shard, at(0))
    shard.engine_reported(0, report(1, windows=[1000]), at(1.01))
    assert not frame(shard, at(1.01)).windows
    shard.engine_reported(1, report(1, windows=[1000]), at(1.02))
    shard.advance(at(1.02))
    assert shard.is_frame_due(at(1.02))
    (window,) = shard.frame(at(1.02)).windows
    assert (window.window_start.seconds, window.stats.iterations) == (1000, 2)


def test_a_window_closes_without_a_slow_engine_after_the_tolerance() -> None:
    shard = execution()
    shard.engine_reported(0, report(1, windows=[1000]), at(1.01))
    assert not frame(shard, at(1.24)).windows
    assert [window.stats.iterations for window in frame(shard, at(1.25)).windows] == [1]
    shard.engine_reported(1, report(50, windows=[1000]), at(1.3))
    late = frame(shard, at(2))
    assert (len(late.windows), late.totals.iterations) == (0, 51)


def test_the_end_brings_every_window() -> None:
    shard = execution(1)
    shard.engine_reported(0, report(2, SHARD_STATUS_COMPLETED, windows=[1000, 1001]), at(1.5))
    assert [window.window_start.seconds for window in frame(shard, at(1.5)).windows] == [1000, 1001]


def test_a_frame_is_due_first_then_with_windows_or_after_a_second() -> None:
    shard = execution(1)
    assert shard.is_frame_due(at(0))
    shard.frame(at(0))
    assert not shard.is_frame_due(at(1))
    assert shard.is_frame_due(at(1.25))


def test_times_span_all_engines() -> None:
    shard = execution()
    for slot, (start, seconds) in enumerate([(1001, 4), (1000, 4)]):
        done = report(1, SHARD_STATUS_COMPLETED)
        done.progress.started_at.seconds = start
        done.progress.elapsed.seconds = seconds
        shard.engine_reported(slot, done, at(6))
    final = frame(shard, at(7))
    assert (final.started_at.seconds, final.elapsed.seconds) == (1000, 5)


def test_while_load_is_made_time_goes_on_between_reports_whatever_the_wall_clock_does() -> None:
    shard = execution(1)
    begun = report(1)
    begun.progress.started_at.seconds = 1000
    begun.progress.elapsed.seconds = 2
    shard.engine_reported(0, begun, at(2))
    assert frame(shard, Moment(monotonic=2.5, wall=9999)).elapsed.ToMilliseconds() == 2500
    done = report(2, SHARD_STATUS_COMPLETED)
    done.progress.started_at.seconds = 1000
    done.progress.elapsed.seconds = 3
    shard.engine_reported(0, done, Moment(monotonic=3.1, wall=0))
    assert frame(shard, at(9)).elapsed.ToMilliseconds() == 3000


def test_an_engine_that_dies_fails_the_shard_and_stops_the_others() -> None:
    shard = execution(3)
    shard.engine_reported(0, report(10), at(1))
    shard.engine_reported(2, report(3, SHARD_STATUS_COMPLETED), at(1))
    shard.engine_exited(0, EngineExit(100, -9), at(2))
    assert shard.advance(at(2)) == [EngineOrder(1, StopStage.INTERRUPT)]
    assert not shard.is_finished
    shard.engine_reported(1, report(4, SHARD_STATUS_CANCELLED), at(2.1))
    final = frame(shard, at(2.1))
    assert (final.status, final.totals.iterations) == (SHARD_STATUS_FAILED, 17)
    assert final.errors[0] == "engine 100 of worker worker-1 was killed by SIGKILL while it ran the shard"


def test_an_engine_that_died_after_its_run_had_ended_does_no_harm() -> None:
    shard = execution()
    shard.engine_reported(0, report(10, SHARD_STATUS_COMPLETED), at(1))
    shard.engine_exited(0, EngineExit(100, -9), at(2))
    shard.engine_reported(1, report(10, SHARD_STATUS_COMPLETED), at(3))
    assert shard.status == SHARD_STATUS_COMPLETED


def test_what_an_engine_says_about_its_failure_reaches_people() -> None:
    shard = execution(1)
    shard.engine_reported(0, report(0, SHARD_STATUS_FAILED, error="no file descriptors left"), at(1))
    final = frame(shard, at(1))
    assert final.status == SHARD_STATUS_FAILED
    assert list(final.errors) == ["engine 100 of worker worker-1 failed: no file descriptors left"]


def test_an_engine_that_stops_reporting_is_killed() -> None:
    shard = execution()
    shard.engine_reported(0, report(10), at(1))
    shard.engine_reported(1, report(10), at(5))
    assert [order for tick in range(110) for order in shard.advance(at(tick / 10))] == []
    assert shard.advance(at(11)) == [
        EngineOrder(0, StopStage.KILL),
        EngineOrder(1, StopStage.INTERRUPT),
    ]
    shard.engine_reported(1, report(12, SHARD_STATUS_CANCELLED), at(11.1))
    final = frame(shard, at(11.1))
    assert (final.status, final.totals.iterations) == (SHARD_STATUS_FAILED, 22)
    assert final.errors[0] == "engine 100 of worker worker-1 did not report for 10 s and was killed"


def test_an_engine_is_not_blamed_for_a_pause_of_the_control_process() -> None:
    shard = execution(1)
    shard.engine_reported(0, report(10), at(1))
    shard.advance(at(1))
    assert shard.advance(at(60)) == []
    assert [order for tick in range(600, 690) for order in shard.advance(at(tick / 10))] == []
    assert shard.advance(at(69)) == [EngineOrder(0, StopStage.KILL)]


def test_statistics_that_make_no_sense_fail_the_shard() -> None:
    shard = execution(1)
    broken = report(1)
    broken.progress.totals.steps[0].duration_ms.CopyFrom(Histogram(counts=[1], sum=float("nan"), min=1, max=1))
    shard.engine_reported(0, broken, at(1))
    assert shard.advance(at(1)) == [EngineOrder(0, StopStage.KILL)]
    assert shard.status == SHARD_STATUS_FAILED


def test_engines_that_together_provide_too_much_fail_the_shard() -> None:
    shard = execution(2)
    for slot in (0, 1):
        ended = report(1, SHARD_STATUS_COMPLETED)
        ended.progress.provided.add(name=f"value-{slot}", json=f'"{"x" * 700_000}"', at_seconds=1)
        shard.engine_reported(slot, ended, at(1))
    shard.advance(at(1))
    assert shard.status == SHARD_STATUS_FAILED


def test_a_cancelled_shard_is_stopped_gracefully_then_interrupted_then_killed() -> None:
    shard = execution()
    shard.engine_reported(1, report(4, SHARD_STATUS_COMPLETED), at(0.5))
    shard.stop(CANCEL, StopStage.GRACEFUL, LIMITS, at(1))
    assert shard.advance(at(1)) == [EngineOrder(0, StopStage.GRACEFUL)]
    assert shard.advance(at(2)) == []
    shard.engine_reported(0, report(6), at(5))
    assert shard.advance(at(6)) == [EngineOrder(0, StopStage.INTERRUPT)]
    assert shard.advance(at(9)) == [EngineOrder(0, StopStage.KILL)]
    final = frame(shard, at(9))
    assert (final.status, final.totals.iterations) == (SHARD_STATUS_CANCELLED, 10)
    assert list(final.errors) == ["engine 100 of worker worker-1 did not stop in time and was killed"]


def test_a_workflow_with_a_short_graceful_stop_is_interrupted_sooner() -> None:
    shard = execution(1)
    shard.dispatch.workflow.graceful_stop.seconds = 0
    shard.stop(CANCEL, StopStage.GRACEFUL, LIMITS, at(1))
    assert shard.advance(at(1)) == [EngineOrder(0, StopStage.INTERRUPT)]


@pytest.mark.parametrize(
    ("reason", "status", "errors"),
    [(CANCEL, SHARD_STATUS_CANCELLED, []), (BREAK, SHARD_STATUS_FAILED, [BREAK.text])],
)
def test_a_stopped_shard_says_why(reason: StopReason, status: ShardStatus.ValueType, errors: list[str]) -> None:
    shard = execution(1)
    shard.stop(reason, StopStage.GRACEFUL, LIMITS, at(1))
    shard.stop(CANCEL, StopStage.GRACEFUL, LIMITS, at(1))
    shard.engine_reported(0, report(4, SHARD_STATUS_CANCELLED), at(2))
    final = frame(shard, at(2))
    assert (final.status, list(final.errors), final.totals.iterations) == (status, errors, 4)


def test_an_abort_kills_every_engine_that_still_runs() -> None:
    shard = execution()
    shard.engine_reported(0, report(4, SHARD_STATUS_COMPLETED), at(1))
    assert shard.abort("the worker has a bug") == [EngineOrder(1, StopStage.KILL)]
    final = frame(shard, at(2))
    assert (final.status, list(final.errors)) == (SHARD_STATUS_FAILED, ["the worker has a bug"])


def test_a_shard_without_users_is_over_at_once() -> None:
    shard = execution(0)
    final = frame(shard, at(0))
    assert (final.status, final.totals.iterations) == (SHARD_STATUS_COMPLETED, 0)
    assert (final.HasField("started_at"), final.HasField("elapsed")) == (False, False)


@pytest.mark.parametrize(
    ("vus", "iterations", "cores", "expected"),
    [
        (5, None, 2, [(3, None), (2, None)]),
        (1, None, 4, [(1, None)]),
        (0, None, 2, []),
        (4, 7, 2, [(2, 4), (2, 3)]),
        (4, 1, 4, [(1, 1)]),
        (3, 0, 2, []),
    ],
)
def test_the_load_is_divided_over_engines_exactly(
    vus: int, iterations: int | None, cores: int, expected: list[tuple[int, int | None]]
) -> None:
    workflow = Workflow(name="w")
    if iterations is None:
        workflow.constant_vus.vus = vus
    else:
        workflow.shared_iterations.vus = vus
        workflow.shared_iterations.iterations = iterations
    assert [(load_vus(part), load_iterations(part)) for part in parts_of(workflow, cores)] == expected
