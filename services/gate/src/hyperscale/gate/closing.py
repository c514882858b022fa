"""The end of a job: its result and its terminal status are committed together, once."""

from __future__ import annotations

import math

from hyperscale.gate.job_run import JobRun
from hyperscale.gate.leases import JobLeases
from hyperscale.gate.persistence import written
from hyperscale.gate.results import JobEnd, merged_result, unjudged_result
from hyperscale.gate.stage_results import datacenter_results
from hyperscale.gate.store import JobStore
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.coordination import Lease
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1 import job_pb2, record_pb2


class JobCloser:
    """Ends jobs."""

    def __init__(self, store: JobStore, leases: JobLeases, supervisor: Supervisor, clock: Clock) -> None:
        self._store = store
        self._leases = leases
        self._supervisor = supervisor
        self._clock = clock

    async def close(self, run: JobRun) -> None:
        """End a job whose datacenters have all ended their parts; raises `LeaseLostError`."""
        async with run.durable:
            run.close_windows(math.inf, ())
            run.advance(job_pb2.JOB_STATUS_COMPLETING)
            record = run.record
            results = run.results
            del record.stage_results[:]
            record.stage_results.extend(results)
            finals = datacenter_results(record)
            end = JobEnd(self._clock.wall(), run.elapsed_seconds)
            result = merged_result(run.submission, finals, run.stop, run.is_cancelling, end)
            record = _ended(record, result)
            record.result_sequence = run.events.last_sequence + 1
            await self._commit(record, run)
            run.committed(record)
            run.events.append_result(result)
        await self._leases.release(run.lease)

    async def close_unjudged(self, record: record_pb2.JobRecord, lease: Lease, reason: str) -> None:
        """End a job of which nothing but its record is left: CANCELLED if that was acknowledged, else FAILED.

        Raises `LeaseLostError` and `CoordinationUnavailableError`.
        """
        cancelled = record.status == job_pb2.JOB_STATUS_CANCELLING
        status = job_pb2.JOB_STATUS_CANCELLED if cancelled else job_pb2.JOB_STATUS_FAILED
        parts = [
            job_pb2.JobFinalResult(
                job_id=record.job_id, datacenter=name, status=status, errors=[reason], fence_token=lease.token
            )
            for name in record.datacenters
        ]
        ended = _ended(record, unjudged_result(record.submission, status, reason, parts, self._clock.wall()))
        ended.fence_token = lease.token
        await self._store.finish(ended, lease)
        await self._leases.release(lease)

    async def _commit(self, record: record_pb2.JobRecord, run: JobRun) -> None:
        """Commit for as long as the job is owned, however long the store is away."""
        await written(run, lambda: self._store.finish(record, run.lease), self._supervisor, "job-close")


def _ended(record: record_pb2.JobRecord, result: job_pb2.GlobalJobResult) -> record_pb2.JobRecord:
    result.fallbacks.extend(record.routing.fallbacks)
    record.status = result.status
    record.result.CopyFrom(result)
    del record.stage_results[:]
    return record
