"""Jobs in the datacenter's coordination store: key `dc-jobs/{job_id}`. Every write is guarded by the leadership."""

from __future__ import annotations

from collections.abc import AsyncIterator

from hyperscale.manager.leadership import Leadership
from hyperscale.manager.models.job import DatacenterJob
from hyperscale.manager.views import job_record
from hyperscale.runtime.coordination import ABSENT, CoordinationUnavailableError, Coordinator, Lease
from hyperscale.v1.job_pb2 import JobFinalResult
from hyperscale.v1.record_pb2 import DcJobRecord

_PREFIX = "dc-jobs/"
_PAGE = 100


class DatacenterLedger:
    """Durable state of the datacenter's jobs.

    Every write may raise `LeaseLostError`, after which nothing was written, and `CoordinationUnavailableError`, after
    which it may have been.

    Parameters
    ----------
    retention_seconds
        How long the record of an ended job is kept.
    """

    def __init__(self, coordinator: Coordinator, leadership: Leadership, retention_seconds: float) -> None:
        self._coordinator = coordinator
        self._leadership = leadership
        self._retention_seconds = retention_seconds

    async def find(self, job_id: str) -> DcJobRecord | None:
        """The record of a job, ended or not."""
        entry = await self._coordinator.get(_PREFIX + job_id)
        return None if entry is None else DcJobRecord.FromString(entry.value)

    async def records(self) -> AsyncIterator[DcJobRecord]:
        """Every record."""
        after: str | None = None
        while True:
            page = await self._coordinator.list(_PREFIX, limit=_PAGE, after=after)
            for entry in page:
                yield DcJobRecord.FromString(entry.value)
            if len(page) < _PAGE:
                return
            after = page[-1].key

    async def create(self, job: DatacenterJob, lease: Lease) -> None:
        """Take a job over; raises `ConflictError` when it has a record."""
        value = job_record(job).SerializeToString()
        try:
            await self._coordinator.put(_PREFIX + job.job_id, value, expect=ABSENT, guard=lease)
        except CoordinationUnavailableError:
            # It may be written all the same; a record that nobody runs would be acknowledged to whoever asks again.
            written = await self._coordinator.get(_PREFIX + job.job_id)
            if written is None or written.value != value:
                raise

    async def save(self, job: DatacenterJob) -> None:
        """Write the job as it stands when its turn has come; does nothing once its end is durable."""
        lease = self._leadership.require_token(job.leadership_token)
        async with job.commit_lock:
            if not job.lifecycle.is_terminal:
                await self._coordinator.put(_PREFIX + job.job_id, job_record(job).SerializeToString(), guard=lease)

    async def end(self, record: DcJobRecord, result: JobFinalResult, lease: Lease) -> None:
        """Write the end of a job; the record goes after the retention."""
        ended = DcJobRecord(status=result.status, result=result, accepted_at=record.accepted_at)
        if record.HasField("dispatch"):
            ended.dispatch.CopyFrom(record.dispatch)
        await self._coordinator.put(
            _PREFIX + result.job_id,
            ended.SerializeToString(),
            guard=lease,
            ttl_seconds=self._retention_seconds,
        )

    async def refuse(self, result: JobFinalResult, lease: Lease) -> None:
        """Note the end of a job that has not arrived; raises `ConflictError` when it has a record."""
        record = DcJobRecord(status=result.status, result=result)
        await self._coordinator.put(
            _PREFIX + result.job_id,
            record.SerializeToString(),
            expect=ABSENT,
            guard=lease,
            ttl_seconds=self._retention_seconds,
        )
