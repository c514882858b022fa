"""Taking a job over from its owner gate: durable before it is answered, at most once per job id."""

from __future__ import annotations

import math

from hyperscale.manager.admission import check_dispatch, check_fence
from hyperscale.manager.job_lifecycle import TRANSITIONS
from hyperscale.manager.leadership import Leadership
from hyperscale.manager.ledger import DatacenterLedger
from hyperscale.manager.models.allocation import WorkflowKey
from hyperscale.manager.models.job import DatacenterJob, WorkflowRun
from hyperscale.manager.models.limits import DatacenterLimits
from hyperscale.manager.progression import JobProgression
from hyperscale.manager.reporting import GateReports
from hyperscale.manager.state import ManagerState
from hyperscale.manager.stats import JobStatistics
from hyperscale.manager.workflow_lifecycle import WorkflowLifecycle
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.coordination import ConflictError, Lease
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.transitions import Lifecycle
from hyperscale.v1.dispatch_pb2 import JobDispatch
from hyperscale.v1.job_pb2 import JOB_STATUS_SUBMITTED, JobAck
from hyperscale.v1.record_pb2 import DcJobRecord
from hyperscale.v1.workflow_pb2 import Workflow
from hyperscale.workload.graph import WorkflowGraph
from hyperscale.workload.profiles import load_vus
from hyperscale.workload.splitting import has_work
from hyperscale.workload.timestamps import seconds_of, timestamp


class JobIntake:
    """SubmitJob."""

    def __init__(
        self,
        *,
        state: ManagerState,
        leadership: Leadership,
        ledger: DatacenterLedger,
        progression: JobProgression,
        reports: GateReports,
        clock: Clock,
        limits: DatacenterLimits,
    ) -> None:
        self._state = state
        self._leadership = leadership
        self._ledger = ledger
        self._progression = progression
        self._reports = reports
        self._clock = clock
        self._limits = limits

    async def accept(self, dispatch: JobDispatch) -> JobAck:
        """Take the job over, or answer again as before.

        Raises INVALID_ARGUMENT, NOT_LEADER, SYNCING, DRAINING, STALE_FENCE, TOO_MANY_JOBS, or CANCELLED when the
        cancellation came first.
        """
        lease = self._leadership.require()
        check_dispatch(dispatch)
        known = await self._answer_again(dispatch)
        if known is not None:
            return known
        if len(self._state) >= self._limits.max_active_jobs:
            raise HyperscaleError(ErrorReason.TOO_MANY_JOBS, metadata={"limit": str(self._limits.max_active_jobs)})
        try:
            return await self._begin(dispatch, lease)
        except ConflictError:
            known = await self._answer_again(dispatch)
            if known is None:
                raise
            return known

    async def _begin(self, dispatch: JobDispatch, lease: Lease) -> JobAck:
        job = self._job(dispatch, lease)
        await self._ledger.create(job, lease)
        if not self._leadership.is_current(lease):
            raise HyperscaleError(ErrorReason.LEASE_LOST)
        self._state.add(job)
        self._progression.begin(job)
        return _ack(dispatch, job.accepted_at_seconds)

    async def _answer_again(self, dispatch: JobDispatch) -> JobAck | None:
        """The answer to a repeated dispatch; None when it is the first."""
        job = self._state.find(dispatch.job_id)
        if job is not None:
            return await self._renew(job, dispatch)
        record = await self._ledger.find(dispatch.job_id)
        return None if record is None else self._answer_from(record, dispatch)

    async def _renew(self, job: DatacenterJob, dispatch: JobDispatch) -> JobAck:
        check_fence(dispatch.fence_token, job.dispatch.fence_token)
        if dispatch.fence_token > job.dispatch.fence_token:
            job.dispatch.fence_token = dispatch.fence_token
            job.dispatch.gate_id = dispatch.gate_id
            await self._ledger.save(job)
        return _ack(job.dispatch, job.accepted_at_seconds)

    def _answer_from(self, record: DcJobRecord, dispatch: JobDispatch) -> JobAck:
        if not record.HasField("dispatch"):
            raise HyperscaleError(
                ErrorReason.CANCELLED, f"job {dispatch.job_id} was cancelled before it arrived in this datacenter"
            )
        check_fence(dispatch.fence_token, record.dispatch.fence_token)
        if record.HasField("result"):
            self._reports.send_final(dispatch.gate_id, record.result)
        return JobAck(job_id=dispatch.job_id, gate_id=record.dispatch.gate_id, submitted_at=record.accepted_at)

    def _job(self, dispatch: JobDispatch, lease: Lease) -> DatacenterJob:
        now = self._clock.wall()
        workflows = dispatch.submission.workflows
        statistics = JobStatistics(dispatch.job_id, self._reports.datacenter, self._limits.drift_tolerance_seconds)
        return DatacenterJob(
            dispatch=dispatch,
            leadership_token=lease.token,
            accepted_at_seconds=now,
            lifecycle=Lifecycle(TRANSITIONS, f"job {dispatch.job_id}", JOB_STATUS_SUBMITTED),
            graph=WorkflowGraph(workflows),
            workflows={workflow.name: _run(dispatch.job_id, workflow, now) for workflow in workflows},
            statistics=statistics,
            due_at_seconds=self._clock.monotonic() + _time_left_seconds(dispatch),
        )


def _run(job_id: str, workflow: Workflow, now_seconds: float) -> WorkflowRun:
    return WorkflowRun(
        key=WorkflowKey(job_id, workflow.name),
        workflow=workflow,
        users=load_vus(workflow) if has_work(workflow) else 0,
        lifecycle=WorkflowLifecycle(workflow.name, now_seconds),
    )


def _time_left_seconds(dispatch: JobDispatch) -> float:
    return seconds_of(dispatch.time_left) if dispatch.HasField("time_left") else math.inf


def _ack(dispatch: JobDispatch, accepted_at_seconds: float) -> JobAck:
    return JobAck(job_id=dispatch.job_id, gate_id=dispatch.gate_id, submitted_at=timestamp(accepted_at_seconds))
