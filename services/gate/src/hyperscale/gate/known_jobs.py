"""Submissions of jobs that are there already, or just coming.

Law: while another gate may still commit a job, nobody is told to submit it again.
"""

from __future__ import annotations

import asyncio
from typing import Final

from hyperscale.gate.leases import JobLeases
from hyperscale.gate.store import JobStore
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.v1 import job_pb2, record_pb2

_PAUSE_SECONDS: Final = 0.1


class KnownJobs:
    """Finds the answer to a submission that an earlier one has got, or is to get.

    Parameters
    ----------
    patience_seconds
        Longest wait for a job whose owner is committing it.
    """

    def __init__(self, store: JobStore, leases: JobLeases, clock: Clock, patience_seconds: float) -> None:
        self._store = store
        self._leases = leases
        self._clock = clock
        self._patience_seconds = patience_seconds

    async def by_key(self, submission: job_pb2.JobSubmission, digest: bytes) -> job_pb2.JobAck | None:
        """The answer that the key's first submission got; raises IDEMPOTENCY_KEY_REUSED."""
        if not submission.idempotency_key:
            return None
        used = await self._store.used_key(submission.idempotency_key)
        if used is None:
            return None
        if used.submission_digest != digest:
            raise HyperscaleError(ErrorReason.IDEMPOTENCY_KEY_REUSED)
        return used.ack

    async def by_id(self, job_id: str, submission: job_pb2.JobSubmission) -> job_pb2.JobAck:
        """The answer to a job that is passed on once more, or was taken over by a gate whose answer got lost or is slow.

        Raises DEADLINE_EXCEEDED when its owner does not come to an end with it, NOT_READY when it is another job, or none.
        """
        record = await self._committed(job_id)
        if record is None or record.submission != submission:
            raise HyperscaleError(ErrorReason.NOT_READY, "another job took the same identity; submit again")
        return job_pb2.JobAck(job_id=job_id, gate_id=record.gate_id, submitted_at=record.submitted_at)

    async def _committed(self, job_id: str) -> record_pb2.JobRecord | None:
        """The job, for which its owner gets some time; None when nobody owns it and nobody has committed it."""
        deadline = self._clock.monotonic() + self._patience_seconds
        while True:
            is_owned = await self._leases.is_owned(job_id)
            record = await self._store.get(job_id)
            if record is not None or not is_owned:
                return record
            if self._clock.monotonic() >= deadline:
                message = f"the owner of job {job_id} has not committed it in time; it may be accepted yet"
                raise HyperscaleError(ErrorReason.DEADLINE_EXCEEDED, message, metadata={"job_id": job_id})
            await asyncio.sleep(_PAUSE_SECONDS)
