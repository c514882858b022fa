"""Jobs in the gates' coordination store: the only module that knows its keys.

Laws: a job's record, its summary and its mark of being unfinished change together; all changes of a job are guarded by its
lease.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from hyperscale.runtime.coordination import ABSENT, CoordinationUnavailableError, Coordinator, Delete, Lease, Put, Write
from hyperscale.runtime.errors import ConflictError
from hyperscale.v1 import gate_service_pb2, job_pb2, record_pb2
from hyperscale.workload.timestamps import seconds_of

_JOBS = "jobs/"
_SUMMARIES = "job-summaries/"
_UNFINISHED = "unfinished-jobs/"
_IDEMPOTENCY = "idempotency/"
_DATACENTERS = "datacenters/"

_LAST_MS = 9_999_999_999_999
_PAGE = 1000


class JobStore:
    """Reads and writes what gates remember together.

    Every method may raise `CoordinationUnavailableError`.
    """

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator

    async def create(self, record: record_pb2.JobRecord, ack: job_pb2.JobAck, digest: bytes, lease: Lease) -> None:
        """Commit a new job with its idempotency key; raises `ConflictError` when either exists."""
        writes: list[Write] = [
            Put(_JOBS + record.job_id, record.SerializeToString(), expect=ABSENT),
            _summary_write(record),
            Put(_UNFINISHED + record.job_id, ack.SerializeToString()),
        ]
        key = record.submission.idempotency_key
        if key:
            used = record_pb2.IdempotencyRecord(ack=ack, submission_digest=digest)
            writes.append(Put(_idempotency_key(key), used.SerializeToString(), expect=ABSENT))
        try:
            await self._coordinator.commit(writes, guard=lease)
        except CoordinationUnavailableError:
            # It may be written all the same; a job that nobody runs would be acknowledged to whoever submits it again.
            written = await self.get(record.job_id)
            if written is None or written.fence_token != record.fence_token:
                raise

    async def update(self, record: record_pb2.JobRecord, lease: Lease) -> None:
        """Commit a change of an unfinished job; raises `LeaseLostError`."""
        await self._coordinator.commit(_record_writes(record), guard=lease)

    async def note_status(self, record: record_pb2.JobRecord, lease: Lease) -> None:
        """Show a status in lists that need not survive the gate; raises `LeaseLostError`."""
        await self._coordinator.commit([_summary_write(record)], guard=lease)

    async def finish(self, record: record_pb2.JobRecord, lease: Lease) -> None:
        """Commit a job's end; raises `LeaseLostError`."""
        await self._coordinator.commit([*_record_writes(record), Delete(_UNFINISHED + record.job_id)], guard=lease)

    async def get(self, job_id: str) -> record_pb2.JobRecord | None:
        """The record of a job."""
        if not _is_key_part(job_id):
            return None
        entry = await self._coordinator.get(_JOBS + job_id)
        return None if entry is None else record_pb2.JobRecord.FromString(entry.value)

    async def used_key(self, idempotency_key: str) -> record_pb2.IdempotencyRecord | None:
        """What an idempotency key was used for."""
        entry = await self._coordinator.get(_idempotency_key(idempotency_key))
        return None if entry is None else record_pb2.IdempotencyRecord.FromString(entry.value)

    async def page(self, limit: int, after: str) -> tuple[list[gate_service_pb2.JobSummary], str]:
        """Summaries after a position, newest first, and the position of the next page; empty: there is none."""
        entries = await self._coordinator.list(_SUMMARIES, limit + 1, _SUMMARIES + after if after else None)
        summaries = [gate_service_pb2.JobSummary.FromString(entry.value) for entry in entries[:limit]]
        following = entries[limit - 1].key.removeprefix(_SUMMARIES) if len(entries) > limit else ""
        return summaries, following

    async def submitted_before(
        self, moment_seconds: float, limit: int, after: str
    ) -> tuple[list[gate_service_pb2.JobSummary], str]:
        """As `page`, of the jobs submitted before a moment."""
        return await self.page(limit, after or _position(moment_seconds, ""))

    async def remove(self, summary: gate_service_pb2.JobSummary) -> None:
        """Forget an ended job, its summary and its idempotency key; nothing happens when it is gone already."""
        record = await self.get(summary.job_id)
        submitted_at = seconds_of(summary.submitted_at)
        writes: list[Write] = [Delete(_SUMMARIES + _position(submitted_at, summary.job_id))]
        if record is not None:
            writes.append(Delete(_JOBS + record.job_id))
            if record.submission.idempotency_key:
                writes.append(Delete(_idempotency_key(record.submission.idempotency_key)))
        await self._coordinator.commit(writes)

    async def unfinished(self) -> list[job_pb2.JobAck]:
        """Every job of every gate that has not ended."""
        found: list[job_pb2.JobAck] = []
        after: str | None = None
        while entries := await self._coordinator.list(_UNFINISHED, _PAGE, after):
            found.extend(job_pb2.JobAck.FromString(entry.value) for entry in entries)
            after = entries[-1].key
        return found

    async def datacenters(self) -> list[str]:
        """Names of the datacenters that have ever registered at any gate."""
        entries = await self._coordinator.list(_DATACENTERS, _PAGE)
        return [entry.key.removeprefix(_DATACENTERS) for entry in entries]

    async def remember_datacenter(self, name: str) -> None:
        """Note that a datacenter has registered."""
        info = gate_service_pb2.DatacenterInfo(datacenter=name)
        try:
            await self._coordinator.put(_DATACENTERS + name, info.SerializeToString(), expect=ABSENT)
        except ConflictError:
            return


def lease_name(job_id: str) -> str:
    """Name of the lease under which a job is owned."""
    return f"job/{job_id}"


def _record_writes(record: record_pb2.JobRecord) -> Sequence[Write]:
    return [Put(_JOBS + record.job_id, record.SerializeToString()), _summary_write(record)]


def _summary_write(record: record_pb2.JobRecord) -> Put:
    summary = gate_service_pb2.JobSummary(
        job_id=record.job_id,
        name=record.submission.name,
        status=record.status,
        verdict=record.result.verdict,
        submitted_at=record.submitted_at,
    )
    if record.HasField("result"):
        summary.finished_at.CopyFrom(record.result.finished_at)
    key = _SUMMARIES + _position(seconds_of(record.submitted_at), record.job_id)
    return Put(key, summary.SerializeToString())


def _position(submitted_at_seconds: float, job_id: str) -> str:
    """Orders newest first."""
    return f"{_LAST_MS - round(submitted_at_seconds * 1000):013d}/{job_id}"


def _idempotency_key(key: str) -> str:
    """Clients may use any characters; keys of the store are short and printable."""
    return _IDEMPOTENCY + hashlib.sha256(key.encode()).hexdigest()


def _is_key_part(text: str) -> bool:
    return 0 < len(text) <= 256 and text.isprintable()
