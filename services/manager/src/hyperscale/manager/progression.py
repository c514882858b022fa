"""What an event does to a job: the only code that changes statuses of jobs, workflows and shards.

Every method finishes its step before it tells the observers, and none of them waits. Laws: a shard that has ended stays
as it ended; once a job is stopping nothing of it is started; a job settles once, when every workflow has ended and no
worker makes load for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from hyperscale.manager.events import JobEvents
from hyperscale.manager.models.job import AssignedShard, DatacenterJob, ShardPhase, WorkflowRun
from hyperscale.manager.models.limits import ShardPatience
from hyperscale.manager.registry import WorkerRegistry
from hyperscale.runtime.clock import Clock
from hyperscale.v1.job_pb2 import (
    JOB_STATUS_CANCELLING,
    JOB_STATUS_COMPLETING,
    JOB_STATUS_DISPATCHING,
    JOB_STATUS_QUEUED,
    JOB_STATUS_RUNNING,
    WORKFLOW_STATUS_AGGREGATED,
    WORKFLOW_STATUS_AGGREGATION_FAILED,
    WORKFLOW_STATUS_CANCELLED,
    WORKFLOW_STATUS_CANCELLING,
    WORKFLOW_STATUS_COMPLETED,
    WORKFLOW_STATUS_DISPATCHED,
    WORKFLOW_STATUS_FAILED,
    WORKFLOW_STATUS_PENDING,
    WORKFLOW_STATUS_RUNNING,
)
from hyperscale.v1.workflow_pb2 import WORKFLOW_ROLE_TEARDOWN
from hyperscale.workload.profiles import latest_end_seconds
from hyperscale.workload.timestamps import seconds_of

START_LEAD_SECONDS = 0.1
"""From the durable assignment to the first load, at least: enough for every engine to have its part by then."""

_ASKED = frozenset({ShardPhase.PLACING, ShardPhase.UNANSWERED})
_WAITING = frozenset({ShardPhase.UNPLACED, ShardPhase.UNANSWERED})
_MAKES_LOAD = frozenset({WORKFLOW_STATUS_DISPATCHED, WORKFLOW_STATUS_RUNNING})


class JobProgression:
    """Moves jobs on.

    Parameters
    ----------
    patience
        How long shards may take to be placed, and to stop.
    """

    def __init__(self, workers: WorkerRegistry, events: JobEvents, clock: Clock, patience: ShardPatience) -> None:
        self._workers = workers
        self._events = events
        self._clock = clock
        self._patience = patience

    def begin(self, job: DatacenterJob) -> None:
        """The job is durable: it waits for cores, unless it needs none."""
        job.lifecycle.move(JOB_STATUS_QUEUED)
        self._advance(job)

    def wait(self, job: DatacenterJob, run: WorkflowRun, reason: str) -> None:
        """A workflow that is ready was not started in this round."""
        if run.waits_for != reason:
            run.waits_for = reason
            self._events.job_changed(job)

    def appoint(self, job: DatacenterJob, shard: AssignedShard) -> None:
        """The assignment is durable: agree on when all shards start, with the other datacenters where that is possible.

        A shard that finds another worker later keeps the instant, and its engines say by how much they missed it; it has
        all of its time from then on.
        """
        run, now = job.run_of(shard), self._clock.wall()
        if run.start_at_seconds is None:
            soonest = now + START_LEAD_SECONDS
            common = seconds_of(job.dispatch.start_at)
            run.start_at_seconds = soonest if run.workflow.depends_on else max(common, soonest)
        starts_in = max(0.0, run.start_at_seconds - now)
        lasts = latest_end_seconds(shard.workflow) + self._patience.overrun_seconds
        shard.due_at_seconds = self._clock.monotonic() + starts_in + lasts

    def accepted(self, job: DatacenterJob, shard: AssignedShard) -> None:
        """A worker has taken a shard."""
        run = job.run_of(shard)
        if shard.phase in _ASKED:
            shard.phase, shard.waiting_since_seconds = ShardPhase.PLACED, None
        self._note_dispatched(job, run)
        if job.stops(shard) and shard.is_with_worker:
            self._events.shards_to_stop(job, [shard], "the job is being stopped")
        self._advance(job)

    def refused(self, job: DatacenterJob, shard: AssignedShard, reason: str) -> None:
        """A worker does not have a shard: it waits for other cores, or ends when it is to stop."""
        if shard.phase not in _ASKED:
            return
        self._workers.release(shard.worker_id, shard.shard_id)
        shard.phase = ShardPhase.CANCELLED if job.stops(shard) else ShardPhase.UNPLACED
        shard.worker_id = ""
        self._note_waiting(shard, reason)
        self._withdraw_if_nobody_took_it(job.run_of(shard))
        self._advance(job)

    def unanswered(self, job: DatacenterJob, shard: AssignedShard, reason: str) -> None:
        """A worker did not say whether it took a shard. Until it is known nobody else gets it: all load counts once."""
        if shard.phase is not ShardPhase.PLACING:
            return
        shard.phase = ShardPhase.UNANSWERED
        self._note_waiting(shard, reason)
        job.run_of(shard).waits_for = f"waits to hear whether worker {shard.worker_id} runs shard {shard.shard_id}"
        if job.stops(shard):
            self._events.shards_to_stop(job, [shard], "the job is being stopped")
        self._advance(job)

    def progressed(self, job: DatacenterJob, shard: AssignedShard) -> None:
        """A worker reports that a shard makes load."""
        shard.phase, shard.waiting_since_seconds = ShardPhase.RUNNING, None
        self._note_running(job, job.run_of(shard))
        self._advance(job)

    def completed(self, job: DatacenterJob, shard: AssignedShard) -> None:
        """A shard has made all of its load."""
        self._note_running(job, job.run_of(shard))
        self._end_shard(job, shard, ShardPhase.COMPLETED, "")
        self._advance(job)

    def cancelled(self, job: DatacenterJob, shard: AssignedShard) -> None:
        """A worker has stopped a shard."""
        if not job.stops(shard):
            self.failed(job, shard, f"worker {shard.worker_id} stopped shard {shard.shard_id} without being asked")
            return
        self._end_shard(job, shard, ShardPhase.CANCELLED, "stopped")
        self._advance(job)

    def failed(self, job: DatacenterJob, shard: AssignedShard, cause: str) -> None:
        """A shard could not go on: its workflow fails, and the job with it."""
        self._end_shard(job, shard, ShardPhase.FAILED, cause)
        self._fail_run(job, job.run_of(shard), cause)
        self._advance(job)

    def cancel(self, job: DatacenterJob) -> None:
        """The job is to end CANCELLED; the shards' owners are told by `stop_shards` once that is durable."""
        if job.lifecycle.status == JOB_STATUS_CANCELLING or job.lifecycle.is_terminal:
            return
        job.lifecycle.move(JOB_STATUS_CANCELLING)

    def stop_shards(self, job: DatacenterJob, reason: str, deadline_seconds: float) -> None:
        """Stop whatever of the job has not ended, and give up after the deadline (from now) what does not confirm."""
        if job.settle_deadline_seconds is None:
            job.settle_deadline_seconds = self._clock.monotonic() + deadline_seconds
        self._cancel_workflows(job, reason)
        stopping = [shard for shard in job.shards() if shard.is_with_worker]
        if stopping:
            self._events.shards_to_stop(job, stopping, reason)
        self._advance(job)

    def fail_job(self, job: DatacenterJob, cause: str, settle_seconds: float) -> None:
        """End the job FAILED for a reason that lies outside its workflows."""
        if job.settled or job.failing:
            return
        job.note_error(cause)
        job.failing = True
        self.stop_shards(job, cause, settle_seconds)

    def give_up_overdue(self, job: DatacenterJob) -> None:
        """End shards that were told to stop and have not confirmed in time; what they have counted so far stays."""
        now, overdue = self._clock.monotonic(), list[AssignedShard]()
        for shard in job.shards():
            deadline = job.stop_deadline_of(shard)
            if deadline is not None and now >= deadline and not shard.has_ended:
                overdue.append(shard)
        for shard in overdue:
            job.note_error(f"worker {shard.worker_id} did not confirm the end of shard {shard.shard_id} in time")
            self._end_shard(job, shard, ShardPhase.CANCELLED, "did not confirm its end")
        if overdue:
            self._advance(job)

    def give_up_waiting(self, job: DatacenterJob) -> None:
        """Fail shards that no worker takes while their workflow's other shards are under way."""
        now, limit_seconds = self._clock.monotonic(), self._patience.placement_seconds
        for shard in list(job.shards()):
            since = shard.waiting_since_seconds
            if shard.phase not in _WAITING or since is None or now - since < limit_seconds:
                continue
            if job.run_of(shard).lifecycle.status in _MAKES_LOAD:
                cause = f"no worker took shard {shard.shard_id} within {limit_seconds:g} s; last: {shard.cause}"
                self.failed(job, shard, cause)

    def give_up_late(self, job: DatacenterJob) -> None:
        """Stop shards that are over their time, and fail their workflows.

        Their workers have asked for no more, or were granted none. What they count until they have stopped is waited for.
        """
        now = self._clock.monotonic()
        for shard in list(job.shards()):
            if shard.is_with_worker and now >= shard.ends_at_seconds and not job.stops(shard):
                extended = f", extended by {shard.extension.seconds:g} s" if shard.extension.grants else ""
                cause = f"worker {shard.worker_id} has not ended shard {shard.shard_id} within its time{extended}"
                self._fail_run(job, job.run_of(shard), cause)
                self._stop_late(job, shard, cause)
                self._advance(job)

    def _stop_late(self, job: DatacenterJob, shard: AssignedShard, cause: str) -> None:
        """Stop a shard whose workflow has failed, unless that has stopped all of the job."""
        if not job.is_stopping:
            shard.stop_deadline_seconds = self._clock.monotonic() + self._patience.settle_seconds
            self._events.shards_to_stop(job, [shard], cause)

    def _fail_run(self, job: DatacenterJob, run: WorkflowRun, cause: str) -> None:
        """A workflow could not go on, and the job with it."""
        job.note_error(cause)
        if run.lifecycle.status in _MAKES_LOAD or run.lifecycle.status == WORKFLOW_STATUS_PENDING:
            run.lifecycle.move(WORKFLOW_STATUS_FAILED, self._clock.wall(), cause)
        self._fail(job, run)

    def _end_shard(self, job: DatacenterJob, shard: AssignedShard, phase: ShardPhase, cause: str) -> None:
        self._workers.release(shard.worker_id, shard.shard_id)
        shard.phase, shard.cause = phase, cause
        job.spans.close(shard.slot)

    def _note_waiting(self, shard: AssignedShard, reason: str) -> None:
        shard.cause = reason
        if shard.waiting_since_seconds is None:
            shard.waiting_since_seconds = self._clock.monotonic()

    def _withdraw_if_nobody_took_it(self, run: WorkflowRun) -> None:
        """Let the workflow be divided anew, when it is certain that no worker has any part of it."""
        is_pending = run.lifecycle.status == WORKFLOW_STATUS_PENDING
        if is_pending and all(shard.phase is ShardPhase.UNPLACED for shard in run.shards):
            run.shards.clear()

    def _note_dispatched(self, job: DatacenterJob, run: WorkflowRun) -> None:
        now = self._clock.wall()
        if run.lifecycle.status == WORKFLOW_STATUS_PENDING:
            run.lifecycle.move(WORKFLOW_STATUS_DISPATCHED, now)
        if job.lifecycle.status == JOB_STATUS_QUEUED:
            job.lifecycle.move(JOB_STATUS_DISPATCHING)

    def _note_running(self, job: DatacenterJob, run: WorkflowRun) -> None:
        self._note_dispatched(job, run)
        now = self._clock.wall()
        if run.lifecycle.status == WORKFLOW_STATUS_DISPATCHED:
            run.lifecycle.move(WORKFLOW_STATUS_RUNNING, now)
        if job.lifecycle.status == JOB_STATUS_DISPATCHING:
            job.lifecycle.move(JOB_STATUS_RUNNING)

    def _fail(self, job: DatacenterJob, run: WorkflowRun) -> None:
        """Fail the dependents and stop the rest."""
        for name in job.graph.dependents_of(run.key.workflow_name):
            dependent = job.workflows[name].lifecycle
            if dependent.status == WORKFLOW_STATUS_PENDING:
                dependent.move(WORKFLOW_STATUS_FAILED, self._clock.wall(), f"dependency {run.key.workflow_name} failed")
        if job.lifecycle.status == JOB_STATUS_CANCELLING or job.failing:
            return
        job.failing = True
        if run.workflow.role == WORKFLOW_ROLE_TEARDOWN:
            # What else is to be cleaned up has nothing to do with it.
            return
        self.stop_shards(job, f"workflow {run.key.workflow_name} failed", self._patience.settle_seconds)

    def _cancel_workflows(self, job: DatacenterJob, reason: str) -> None:
        now = self._clock.wall()
        for run in job.workflows.values():
            if run.lifecycle.status in _MAKES_LOAD or run.lifecycle.status == WORKFLOW_STATUS_PENDING:
                run.lifecycle.move(WORKFLOW_STATUS_CANCELLING, now, reason)
            for shard in run.shards:
                if shard.phase is ShardPhase.UNPLACED:
                    shard.phase, shard.cause = ShardPhase.CANCELLED, reason

    def _advance(self, job: DatacenterJob) -> None:
        """Draw every conclusion from the shards' phases, then tell the observers."""
        for run in job.workflows.values():
            self._conclude(job, run)
        if not job.is_stopping:
            self._run_empty_workflows(job)
        settles = not job.settled and self._is_settled(job)
        job.settled = job.settled or settles
        if settles and job.lifecycle.status == JOB_STATUS_RUNNING and not job.failing:
            job.lifecycle.move(JOB_STATUS_COMPLETING)
        self._events.job_changed(job)
        if settles:
            self._events.job_settled(job)

    def _conclude(self, job: DatacenterJob, run: WorkflowRun) -> None:
        if run.lifecycle.status == WORKFLOW_STATUS_CANCELLING and not run.live_shards:
            run.lifecycle.move(WORKFLOW_STATUS_CANCELLED, self._clock.wall(), run.lifecycle.reason)
        if run.lifecycle.status != WORKFLOW_STATUS_RUNNING:
            return
        if all(shard.phase is ShardPhase.COMPLETED for shard in run.shards):
            self._complete(job, run)

    def _complete(self, job: DatacenterJob, run: WorkflowRun) -> None:
        now = self._clock.wall()
        run.lifecycle.move(WORKFLOW_STATUS_COMPLETED, now)
        unmerged = [shard.merge_fault for shard in run.shards if shard.merge_fault]
        if not unmerged:
            run.lifecycle.move(WORKFLOW_STATUS_AGGREGATED, now)
            return
        run.lifecycle.move(WORKFLOW_STATUS_AGGREGATION_FAILED, now, unmerged[0])
        job.note_error(f"statistics of workflow {run.key.workflow_name}: {unmerged[0]}")
        self._fail(job, run)

    def _run_empty_workflows(self, job: DatacenterJob) -> None:
        """Workflows that have nothing to do here end at once; their dependents may have nothing to do either."""
        while empty := [run for run in ready_runs(job) if run.users == 0]:
            for run in empty:
                self._note_running(job, run)
                self._conclude(job, run)

    def _is_settled(self, job: DatacenterJob) -> bool:
        return all(run.lifecycle.has_ended and not run.live_shards for run in job.workflows.values())


def ready_runs(job: DatacenterJob) -> Sequence[WorkflowRun]:
    """Workflows that nobody has been asked to run and whose own dependencies are all merged."""
    if job.is_stopping:
        return ()
    done = {name for name, run in job.workflows.items() if run.lifecycle.status == WORKFLOW_STATUS_AGGREGATED}
    return [
        run
        for run in (job.workflows[name] for name in job.graph.ready(done))
        if run.lifecycle.status == WORKFLOW_STATUS_PENDING and not run.shards
    ]
