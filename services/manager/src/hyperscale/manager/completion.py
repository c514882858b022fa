"""The end of a job: decided once, durable, then reported."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hyperscale.manager.leadership import Leadership
from hyperscale.manager.ledger import DatacenterLedger
from hyperscale.manager.models.job import AssignedShard, DatacenterJob
from hyperscale.manager.reporting import GateReports
from hyperscale.manager.state import ManagerState
from hyperscale.manager.views import final_result, job_record
from hyperscale.runtime.errors import CoordinationUnavailableError, LeaseLostError
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1.job_pb2 import (
    JOB_STATUS_CANCELLED,
    JOB_STATUS_CANCELLING,
    JOB_STATUS_COMPLETED,
    JOB_STATUS_FAILED,
    JobFinalResult,
    JobStatus,
)

_RETRY_SECONDS = 0.5


class JobCompletion:
    """Ends jobs that have settled."""

    def __init__(
        self,
        *,
        state: ManagerState,
        leadership: Leadership,
        ledger: DatacenterLedger,
        reports: GateReports,
        supervisor: Supervisor,
    ) -> None:
        self._state = state
        self._leadership = leadership
        self._ledger = ledger
        self._reports = reports
        self._supervisor = supervisor

    def job_changed(self, job: DatacenterJob) -> None:
        """Nothing to do here."""

    def shards_to_stop(self, job: DatacenterJob, shards: Sequence[AssignedShard], reason: str) -> None:
        """Nothing to do here."""

    def job_settled(self, job: DatacenterJob) -> None:
        """End the job, in the background."""
        _ = self._supervisor.start(self._end(job), name="job-completion")

    async def _end(self, job: DatacenterJob) -> None:
        async with job.commit_lock:
            job.lifecycle.move(_outcome(job))
            result = final_result(job, self._reports.datacenter)
            try:
                await self._commit(job, result)
            except LeaseLostError as error:
                self._supervisor.report(error, "job-completion", job_id=job.job_id)
                return
        for window in job.statistics.close_all_windows():
            self._reports.send_window(job.dispatch.gate_id, window)
        self._reports.send_final(job.dispatch.gate_id, result)
        self._state.remove(job)

    async def _commit(self, job: DatacenterJob, result: JobFinalResult) -> None:
        """Write the end, again and again while the store is away and this manager leads."""
        while True:
            lease = self._leadership.require_token(job.leadership_token)
            try:
                await self._ledger.end(job_record(job), result, lease)
            except CoordinationUnavailableError as error:
                self._supervisor.report(error, "job-completion", job_id=job.job_id)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return


def _outcome(job: DatacenterJob) -> JobStatus.ValueType:
    """Cancellation first: a job whose cancellation was acknowledged ends in no other way."""
    if job.lifecycle.status == JOB_STATUS_CANCELLING:
        return JOB_STATUS_CANCELLED
    return JOB_STATUS_FAILED if job.failing else JOB_STATUS_COMPLETED
