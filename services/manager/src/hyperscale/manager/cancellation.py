"""Stopping: a job on request, durably; and shards at their workers."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from hyperscale.manager.admission import check_fence, check_job_id
from hyperscale.manager.dispatch import WorkerPort
from hyperscale.manager.leadership import Leadership
from hyperscale.manager.ledger import DatacenterLedger
from hyperscale.manager.models.job import AssignedShard, DatacenterJob, ShardPhase
from hyperscale.manager.progression import JobProgression
from hyperscale.manager.registry import WorkerRegistry
from hyperscale.manager.reporting import GateReports
from hyperscale.manager.state import ManagerState
from hyperscale.runtime.coordination import ConflictError, Lease
from hyperscale.runtime.errors import ErrorReason, HyperscaleError, RetryAdvice
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1.dispatch_pb2 import JobCancelRequest, ShardAttempts, WorkflowCancelRequest
from hyperscale.v1.job_pb2 import JOB_STATUS_CANCELLED, JobFinalResult, JobStatus
from hyperscale.v1.record_pb2 import DcJobRecord
from hyperscale.workload.defaults import graceful_stop_seconds

_DEFAULT_REASON = "cancelled on request"
_REPEAT_SECONDS = 0.5


class ShardStopper:
    """Tells workers to stop shards, in the background, again until they have heard it or the deadline has passed."""

    def __init__(
        self, leadership: Leadership, workers: WorkerRegistry, port: WorkerPort, supervisor: Supervisor
    ) -> None:
        self._leadership = leadership
        self._workers = workers
        self._port = port
        self._supervisor = supervisor
        self._tidying: set[str] = set()

    def job_changed(self, job: DatacenterJob) -> None:
        """Nothing to do here."""

    def job_settled(self, job: DatacenterJob) -> None:
        """Nothing to do here."""

    def shards_to_stop(self, job: DatacenterJob, shards: Sequence[AssignedShard], reason: str) -> None:
        """Stop shards of a job; those whose worker has not answered yet are stopped when it has."""
        by_worker: dict[str, list[AssignedShard]] = defaultdict(list)
        for shard in shards:
            if shard.phase is not ShardPhase.PLACING:
                by_worker[shard.worker_id].append(shard)
        for worker_id, told in by_worker.items():
            request = WorkflowCancelRequest(
                job_id=job.job_id,
                shards=[ShardAttempts(shard_id=shard.shard_id, up_to_attempt=shard.attempt) for shard in told],
                fence_token=job.leadership_token,
                reason=reason,
            )
            _ = self._supervisor.start(self._stop_until_heard(worker_id, request, told), name="shard-stop")

    def stop_strangers(self, worker_id: str, shard_ids: Sequence[str]) -> None:
        """Stop shards that this leader has not given to the worker: an earlier leader did, or they were given up."""
        lease = self._leadership.lease
        if lease is None or not self._leadership.is_ready or worker_id in self._tidying:
            return
        self._tidying.add(worker_id)
        _ = self._supervisor.start(self._stop_strangers(worker_id, shard_ids, lease), name="stranger-stop")

    async def _stop_strangers(self, worker_id: str, shard_ids: Sequence[str], lease: Lease) -> None:
        by_job: dict[str, list[ShardAttempts]] = defaultdict(list)
        for shard_id in shard_ids:
            by_job[shard_id.rsplit("/", 2)[0]].append(ShardAttempts(shard_id=shard_id))
        try:
            for job_id, given in by_job.items():
                request = WorkflowCancelRequest(
                    job_id=job_id, shards=given, fence_token=lease.token, reason="no manager runs this shard"
                )
                _ = await self._stop(worker_id, request)
        finally:
            self._tidying.discard(worker_id)

    async def _stop_until_heard(
        self, worker_id: str, request: WorkflowCancelRequest, shards: Sequence[AssignedShard]
    ) -> None:
        """Ask again while any of the shards has neither ended nor been given up."""
        while not await self._stop(worker_id, request):
            await asyncio.sleep(_REPEAT_SECONDS)
            if all(shard.has_ended for shard in shards):
                return

    async def _stop(self, worker_id: str, request: WorkflowCancelRequest) -> bool:
        """Whether the worker needs not be asked again: it has heard, refused for good, or is lost."""
        endpoint = self._workers.endpoint(worker_id)
        if endpoint is None:
            return True
        try:
            await self._port.cancel(endpoint, request)
        except HyperscaleError as error:
            self._supervisor.report(error, "shard-stop", worker_id=worker_id, job_id=request.job_id)
            return error.retry is RetryAdvice.NEVER or error.reason is ErrorReason.STALE_FENCE
        return True


class JobCancellation:
    """CancelJob: durable before it is answered, idempotent, also for a job that has not arrived.

    Parameters
    ----------
    grace_seconds
        How much longer than their graceful stop shards may take to confirm their end.
    """

    def __init__(
        self,
        *,
        state: ManagerState,
        leadership: Leadership,
        ledger: DatacenterLedger,
        progression: JobProgression,
        finals: GateReports,
        grace_seconds: float,
    ) -> None:
        self._state = state
        self._leadership = leadership
        self._ledger = ledger
        self._progression = progression
        self._finals = finals
        self._grace_seconds = grace_seconds

    async def cancel(self, request: JobCancelRequest) -> JobStatus.ValueType:
        """Status after the request: CANCELLING, or the terminal status the job has.

        Raises NOT_LEADER, STALE_FENCE, SYNCING or DRAINING.
        """
        lease = self._leadership.require()
        check_job_id(request.job_id)
        job = self._state.find(request.job_id)
        if job is None:
            return await self._cancel_absent(request, lease)
        _check_sender(request, job.dispatch.fence_token)
        reason = request.reason or _DEFAULT_REASON
        self._progression.cancel(job)
        await self._ledger.save(job)
        if self._state.holds(job):
            self._progression.stop_shards(job, reason, self._deadline_seconds(job))
        return job.lifecycle.status

    def _deadline_seconds(self, job: DatacenterJob) -> float:
        graceful = (graceful_stop_seconds(run.workflow) for run in job.workflows.values() if run.live_shards)
        return max(graceful, default=0.0) + self._grace_seconds

    async def _cancel_absent(self, request: JobCancelRequest, lease: Lease) -> JobStatus.ValueType:
        record = await self._ledger.find(request.job_id)
        if record is not None:
            return _status_of_ended(request, record)
        result = JobFinalResult(
            job_id=request.job_id,
            datacenter=self._finals.datacenter,
            status=JOB_STATUS_CANCELLED,
            errors=[request.reason or _DEFAULT_REASON],
            fence_token=request.fence_token,
        )
        try:
            await self._ledger.refuse(result, lease)
        except ConflictError as error:
            raise HyperscaleError(ErrorReason.SYNCING, f"job {request.job_id} has just arrived") from error
        self._finals.broadcast(result)
        return JOB_STATUS_CANCELLED


def _status_of_ended(request: JobCancelRequest, record: DcJobRecord) -> JobStatus.ValueType:
    if not record.HasField("result"):
        raise HyperscaleError(ErrorReason.SYNCING, f"job {request.job_id} has just arrived")
    _check_sender(request, record.result.fence_token)
    return record.status


def _check_sender(request: JobCancelRequest, current_token: int) -> None:
    """Clients own nothing and have no token; a gate that has lost the job is refused."""
    if request.fence_token:
        check_fence(request.fence_token, current_token)
