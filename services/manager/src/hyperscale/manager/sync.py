"""Taking over what workers report. Everything may come twice, late, or from an attempt that is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hyperscale.manager.cancellation import ShardStopper
from hyperscale.manager.dispatch import PlacementOutcomes
from hyperscale.manager.latencies import RequestLatencies
from hyperscale.manager.models.job import AssignedShard, DatacenterJob, ShardPhase
from hyperscale.manager.progression import JobProgression
from hyperscale.manager.registry import WorkerRegistry
from hyperscale.manager.state import ManagerState
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1.progress_pb2 import (
    SHARD_STATUS_CANCELLED,
    SHARD_STATUS_COMPLETED,
    SHARD_STATUS_FAILED,
    SHARD_STATUS_RUNNING,
    ShardStatus,
    WorkerHeartbeat,
    WorkflowProgress,
)
from hyperscale.workload.context import ContextTooLargeError
from hyperscale.workload.timestamps import seconds_of

_EXPECTED_BY_HEARTBEAT = frozenset({ShardPhase.PLACED, ShardPhase.RUNNING, ShardPhase.UNANSWERED})


class ProgressIngest:
    """Reports of shards. Anything stale is dropped without a word: its sender has nothing to do about it."""

    def __init__(
        self,
        state: ManagerState,
        progression: JobProgression,
        latencies: RequestLatencies,
        clock: Clock,
        supervisor: Supervisor,
    ) -> None:
        self._state = state
        self._clock = clock
        self._progression = progression
        self._latencies = latencies
        self._supervisor = supervisor
        self._reactions: Mapping[ShardStatus.ValueType, Callable[[_Report], None]] = {
            SHARD_STATUS_RUNNING: self._running,
            SHARD_STATUS_COMPLETED: self._completed,
            SHARD_STATUS_FAILED: self._failed,
            SHARD_STATUS_CANCELLED: self._cancelled,
        }

    def take(self, worker_id: str, progress: WorkflowProgress) -> None:
        """Merge a report; nothing happens when it was taken before."""
        job = self._state.find(progress.job_id)
        shard = None if job is None else job.find_shard(progress.shard_id)
        if job is None or shard is None or progress.fence_token != job.leadership_token:
            return
        if progress.attempt < shard.attempt:
            self._count_former(job, progress)
        if (worker_id, progress.attempt) != (shard.worker_id, shard.attempt):
            return
        try:
            self._latencies.add(job.statistics.add_windows(shard.slot, progress.windows))
        except ValueError as error:
            self._supervisor.report(error, "window-merge", shard_id=shard.shard_id)
        if progress.progress_sequence <= shard.progress_sequence:
            return
        shard.progress_sequence = progress.progress_sequence
        self._merge(job, shard, progress)
        reaction = self._reactions.get(progress.status)
        if reaction is not None and not shard.has_ended:
            reaction(_Report(job, shard, progress))

    def _merge(self, job: DatacenterJob, shard: AssignedShard, progress: WorkflowProgress) -> None:
        if progress.HasField("started_at"):
            job.note_first_load(seconds_of(progress.started_at))
            is_over = progress.status != SHARD_STATUS_RUNNING
            job.spans.heard(shard.slot, seconds_of(progress.elapsed), self._clock.monotonic(), is_over=is_over)
        if not progress.HasField("totals"):
            return
        try:
            job.statistics.add_totals(shard.slot, progress.progress_sequence, progress.totals)
            shard.merge_fault = ""
        except ValueError as error:
            shard.merge_fault = f"totals of shard {shard.shard_id} from worker {shard.worker_id}: {error}"
            self._supervisor.report(error, "totals-merge", shard_id=shard.shard_id)

    def _count_former(self, job: DatacenterJob, progress: WorkflowProgress) -> None:
        """A worker was lost before it had answered, and had begun all the same: its requests have been made and count."""
        if not progress.HasField("totals"):
            return
        try:
            slot = (progress.shard_id, progress.attempt)
            job.statistics.add_totals(slot, progress.progress_sequence, progress.totals)
        except ValueError as error:
            self._supervisor.report(error, "totals-merge", shard_id=progress.shard_id)

    def _running(self, report: _Report) -> None:
        if report.shard.phase is not ShardPhase.RUNNING:
            self._progression.progressed(report.job, report.shard)

    def _completed(self, report: _Report) -> None:
        if self._has_provided(report):
            self._progression.completed(report.job, report.shard)

    def _has_provided(self, report: _Report) -> bool:
        """Take over what the shard has provided, which may be of use also when it did not get to its end."""
        try:
            report.job.provide(report.shard.workflow.name, report.progress.provided)
        except ContextTooLargeError as error:
            self._progression.failed(report.job, report.shard, f"shard {report.shard.shard_id}: {error}")
            return False
        return True

    def _failed(self, report: _Report) -> None:
        if not self._has_provided(report):
            return
        causes = "; ".join(report.progress.errors) or "no cause given"
        self._progression.failed(report.job, report.shard, f"worker {report.shard.worker_id}: {causes}")

    def _cancelled(self, report: _Report) -> None:
        if not self._has_provided(report):
            return
        for cause in report.progress.errors:
            report.job.note_error(f"worker {report.shard.worker_id}: {cause}")
        self._progression.cancelled(report.job, report.shard)


class _Report:
    """A report with what it is about."""

    __slots__ = ("job", "progress", "shard")

    def __init__(self, job: DatacenterJob, shard: AssignedShard, progress: WorkflowProgress) -> None:
        self.job = job
        self.shard = shard
        self.progress = progress


class HeartbeatIngest:
    """What workers say of themselves, compared with what they were given. Workers are the truth of what runs."""

    def __init__(
        self,
        state: ManagerState,
        workers: WorkerRegistry,
        progression: JobProgression,
        placements: PlacementOutcomes,
        stopper: ShardStopper,
    ) -> None:
        self._state = state
        self._workers = workers
        self._progression = progression
        self._placements = placements
        self._stopper = stopper

    def take(self, heartbeat: WorkerHeartbeat) -> None:
        """Note a heartbeat; fail shards that the worker has lost, stop shards that it should not run."""
        self._workers.update(heartbeat)
        worker_id = heartbeat.node.node_id
        given = self._state.shards_of(worker_id)
        active = frozenset(heartbeat.active_shard_ids)
        absent = {
            shard.shard_id: (job, shard)
            for job, shard in given
            if shard.phase in _EXPECTED_BY_HEARTBEAT and shard.shard_id not in active
        }
        for shard_id in self._workers.note_missing(worker_id, absent):
            self._miss(worker_id, *absent[shard_id])
        for job, shard in given:
            if shard.phase is ShardPhase.UNANSWERED and shard.shard_id in active:
                self._progression.accepted(job, shard)
        strangers = active.difference(shard.shard_id for _, shard in given)
        if strangers:
            self._stopper.stop_strangers(worker_id, sorted(strangers))

    def _miss(self, worker_id: str, job: DatacenterJob, shard: AssignedShard) -> None:
        """A worker has said for long enough that it does not run a shard; what it had to report came before that."""
        if shard.phase is ShardPhase.UNANSWERED:
            self._placements.not_received(job, shard)
        else:
            self._progression.failed(job, shard, f"worker {worker_id} does not run shard {shard.shard_id} any more")
