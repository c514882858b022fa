"""One attempt at a shard: divided over engines, merged from their reports, ended by them or on request.

Told the time and what engines do, it answers with what is to be done to engines; it performs nothing itself.
Laws: an engine's run ends once; the shard ends when every engine's run has; what was counted is never taken back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hyperscale.v1.dispatch_pb2 import WorkflowDispatch
from hyperscale.v1.engine_pb2 import EngineProgress, EngineReport
from hyperscale.v1.progress_pb2 import ExtensionAnswer, ExtensionRequest, ShardStatus, WorkflowProgress
from hyperscale.v1.statistics_pb2 import WorkflowStats
from hyperscale.v1.workflow_pb2 import Workflow
from hyperscale.worker.cancellation import StopLadder
from hyperscale.worker.extensions import ShardDeadline
from hyperscale.worker.models.engines import EngineExit, EngineOrder, StopStage
from hyperscale.worker.models.shards import EngineShare, ExecutionSettings, ShardStopCause, StopLimits, StopReason
from hyperscale.worker.models.time import Moment
from hyperscale.worker.stats import ShardStatistics, ShardTimes
from hyperscale.workload.context import ContextTooLargeError, ProvidedValues
from hyperscale.workload.defaults import graceful_stop_seconds
from hyperscale.workload.splitting import has_work, split_workflow
from hyperscale.workload.timestamps import duration_or_none, timestamp_or_none

_FRAME_INTERVAL_SECONDS = 1.25
_LONGEST_TICK_SECONDS = 1.0
_RUNNING = ShardStatus.SHARD_STATUS_RUNNING
_COMPLETED = ShardStatus.SHARD_STATUS_COMPLETED
_FAILED = ShardStatus.SHARD_STATUS_FAILED
_CANCELLED = ShardStatus.SHARD_STATUS_CANCELLED


def parts_of(workflow: Workflow, cores: int) -> list[Workflow]:
    """The workflow divided over engines; parts without anything to do are left out."""
    return [part for part in split_workflow(workflow, [1] * cores) if has_work(part)]


@dataclass(slots=True)
class _EngineRun:
    share: EngineShare
    reported_at: float
    status: ShardStatus.ValueType = _RUNNING
    sequence: int = 0
    ordered: StopStage | None = None

    @property
    def is_running(self) -> bool:
        return self.status == _RUNNING


class ShardExecution:
    """The state of one attempt at a shard."""

    def __init__(
        self,
        dispatch: WorkflowDispatch,
        run_id: int,
        engines: Sequence[EngineShare],
        settings: ExecutionSettings,
        now: Moment,
    ) -> None:
        self.dispatch = dispatch
        self.run_id = run_id
        self._settings = settings
        self._runs = {share.slot: _EngineRun(share, now.monotonic) for share in engines}
        self._statistics = ShardStatistics(dispatch.workflow.name, settings.window_tolerance_seconds)
        self._ladder = StopLadder()
        self._reason: StopReason | None = None
        self._errors: list[str] = []
        self._provided = ProvidedValues()
        self._doomed: list[int] = []
        self._times = ShardTimes()
        self._deadline = ShardDeadline(dispatch, settings.extension_lead_seconds, now.monotonic)
        self._progress_sequence = 0
        self._framed_at: float | None = None
        self._advanced_at = now.monotonic

    @property
    def is_finished(self) -> bool:
        """Whether the run of every engine has ended."""
        return not self._running()

    @property
    def is_stopping(self) -> bool:
        """Whether the shard is being ended before its time."""
        return self._ladder.stage is not None

    @property
    def status(self) -> ShardStatus.ValueType:
        """How the shard stands."""
        if not self.is_finished:
            return _RUNNING
        ends = {run.status for run in self._runs.values()}
        if ends <= {_COMPLETED}:
            return _COMPLETED
        return _FAILED if _FAILED in ends or self._is_broken else _CANCELLED

    @property
    def errors(self) -> tuple[str, ...]:
        """Why the shard failed, as far as it has; one entry per cause."""
        return tuple(self._errors)

    def engine_reported(self, slot: int, report: EngineReport, now: Moment) -> None:
        """Take over what an engine has measured; reports of other runs and of ended engines change nothing."""
        run = self._runs.get(slot)
        if run is None or not run.is_running or report.run_id != self.run_id or not report.HasField("progress"):
            return
        progress = report.progress
        run.reported_at = now.monotonic
        run.sequence += 1
        try:
            self._statistics.add(slot, run.sequence, progress)
        except ValueError as error:
            self._doom(run, f"sent statistics that make no sense ({error})", now)
            return
        self._times.note(progress, now.monotonic)
        if not self._take_provided(run, progress, now):
            return
        if progress.status == _FAILED:
            self._fail(run, f"{self._name(run)} failed: {progress.error}", now)
        elif progress.status in (_COMPLETED, _CANCELLED):
            run.status = progress.status

    def engine_exited(self, slot: int, ended: EngineExit, now: Moment) -> None:
        """An engine is gone: what it had reported stays, but the shard cannot be completed any more."""
        run = self._runs.get(slot)
        if run is None or not run.is_running or run.share.pid != ended.pid:
            return
        self._fail(run, f"{self._name(run)} {ended.how} while it ran the shard", now)

    def stop(self, reason: StopReason, stage: StopStage, limits: StopLimits, now: Moment) -> None:
        """End the shard before its time; a later stop can only make it faster, not change the reason."""
        if self.is_finished:
            return
        if self._reason is None:
            self._reason = reason
            self._errors.extend([reason.text] if self._is_broken else [])
        graceful_seconds = min(limits.graceful_seconds, graceful_stop_seconds(self.dispatch.workflow))
        self._ladder.begin(stage, StopLimits(graceful_seconds, limits.interrupt_seconds), now.monotonic)

    def abort(self, error: str) -> list[EngineOrder]:
        """End the shard at once; what is to be done to its engines."""
        running = self._running()
        self._errors.append(error)
        for run in running:
            run.status = _FAILED
        return [EngineOrder(run.share.slot, StopStage.KILL) for run in running]

    def note_place(self, slot: int, place: str) -> None:
        """An engine that was killed had hung there."""
        self._errors.append(f"{self._name(self._runs[slot])} was in {place}")

    def advance(self, now: Moment) -> list[EngineOrder]:
        """What is due: windows to close, and orders to engines."""
        self._excuse_pause(now)
        self._ladder.advance(now.monotonic)
        self._doom_stalled(now)
        orders = [*self._orders_to_doomed(), *self._orders_of_ladder()]
        self._statistics.close_due([run.share.slot for run in self._running()], now.wall)
        return orders

    def is_frame_due(self, now: Moment) -> bool:
        """Whether there is news for the manager: the first frame, closed windows, a second gone by, or the end."""
        if self._framed_at is None or self.is_finished or self._statistics.has_closed_windows:
            return True
        return now.monotonic - self._framed_at >= _FRAME_INTERVAL_SECONDS

    def frame(self, now: Moment) -> WorkflowProgress:
        """The next report to the manager; it carries the windows closed since the last one."""
        self._framed_at = now.monotonic
        self._progress_sequence += 1
        elapsed = self._times.elapsed_seconds() if self.is_finished else self._times.elapsed_until(now.monotonic)
        return WorkflowProgress(
            job_id=self.dispatch.job_id,
            shard_id=self.dispatch.shard_id,
            attempt=self.dispatch.attempt,
            fence_token=self.dispatch.fence_token,
            progress_sequence=self._progress_sequence,
            status=self.status,
            totals=self._totals(),
            windows=self._statistics.take_windows(),
            errors=self._errors,
            started_at=timestamp_or_none(self._times.started_at_seconds),
            elapsed=duration_or_none(elapsed),
            provided=self._provided.values() if self.is_finished else (),
        )

    def extension_request(self, now: Moment) -> ExtensionRequest | None:
        """What to ask of the manager when the deadline is too soon; None when it is not, or the shard is being stopped."""
        if self.is_finished or self.is_stopping or not self._deadline.is_near(now.monotonic):
            return None
        elapsed = self._times.elapsed_until(now.monotonic)
        return self._deadline.request(self._statistics.totals(), elapsed, now.monotonic)

    def extension_answered(self, answer: ExtensionAnswer, now: Moment) -> bool:
        """Note the deadline that the manager tells; whether its answer is another one than before."""
        return self._deadline.answered(answer, now.monotonic)

    @property
    def _is_broken(self) -> bool:
        return self._reason is not None and self._reason.cause is ShardStopCause.BROKEN

    def _running(self) -> list[_EngineRun]:
        return [run for run in self._runs.values() if run.is_running]

    def _name(self, run: _EngineRun) -> str:
        return f"engine {run.share.pid} of worker {self._settings.worker_id}"

    def _totals(self) -> WorkflowStats:
        totals = self._statistics.totals()
        if self.is_finished:
            totals.vus = 0
        return totals

    def _fail(self, run: _EngineRun, error: str, now: Moment) -> None:
        run.status = _FAILED
        self._errors.append(error)
        limits = StopLimits(0.0, self._settings.interrupt_seconds)
        self.stop(StopReason(ShardStopCause.BROKEN, "its other engines were stopped"), StopStage.INTERRUPT, limits, now)

    def _doom(self, run: _EngineRun, error: str, now: Moment) -> None:
        self._doomed.append(run.share.slot)
        self._fail(run, f"{self._name(run)} {error} and was killed", now)

    def _excuse_pause(self, now: Moment) -> None:
        # While this process stood still it could not hear its engines: what they said waits to be read.
        pause_seconds = now.monotonic - self._advanced_at - _LONGEST_TICK_SECONDS
        self._advanced_at = now.monotonic
        if pause_seconds > 0:
            for run in self._running():
                run.reported_at += pause_seconds

    def _doom_stalled(self, now: Moment) -> None:
        limit = self._settings.engine_stall_seconds
        for run in [run for run in self._running() if now.monotonic - run.reported_at >= limit]:
            self._doom(run, f"did not report for {limit:g} s", now)

    def _orders_to_doomed(self) -> list[EngineOrder]:
        doomed, self._doomed = self._doomed, []
        return [EngineOrder(slot, StopStage.KILL) for slot in doomed]

    def _orders_of_ladder(self) -> list[EngineOrder]:
        stage = self._ladder.stage
        due = [run for run in self._running() if stage is not None and run.ordered is not stage]
        for run in due:
            run.ordered = stage
            if stage is StopStage.KILL:
                run.status = _CANCELLED
                self._errors.append(f"{self._name(run)} did not stop in time and was killed")
        return [] if stage is None else [EngineOrder(run.share.slot, stage) for run in due]

    def _take_provided(self, run: _EngineRun, progress: EngineProgress, now: Moment) -> bool:
        """Whether there was room for the values; otherwise the shard has failed."""
        for value in progress.provided:
            value.shard_id = self.dispatch.shard_id
        try:
            self._provided.merge(progress.provided)
        except ContextTooLargeError as error:
            self._provided = ProvidedValues()
            self._fail(run, f"{self._name(run)}: {error}", now)
            return False
        return True
