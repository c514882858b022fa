"""What the worker remembers of jobs: the highest fence, the shards it was given, and what was cancelled.

A job is remembered while one of its shards runs and for a retention after that, so that a repeated or late call
of its manager gets the answer it should get; then it is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.v1.dispatch_pb2 import ShardAttempts, WorkflowDispatch, WorkflowDispatchAck


@dataclass(slots=True)
class _Shard:
    attempt: int
    ack: WorkflowDispatchAck
    active: bool = True


@dataclass(slots=True)
class _Job:
    fence_token: int = 0
    shards: dict[str, _Shard] = field(default_factory=dict)
    cancelled: bool = False
    cancelled_attempts: dict[str, int] = field(default_factory=dict)

    @property
    def active_shards(self) -> list[str]:
        return [shard_id for shard_id, shard in self.shards.items() if shard.active]

    def refuse(self, over: ShardAttempts) -> bool:
        """Refuse attempts at a shard from now on; whether one of them runs."""
        shard = self.shards.get(over.shard_id)
        given = shard.attempt if shard is not None else 0
        last = over.up_to_attempt or given
        self.cancelled_attempts[over.shard_id] = max(last, self.cancelled_attempts.get(over.shard_id, 0))
        return shard is not None and shard.active and given <= last


class JobLedger:
    """Fences, shards and cancellations by job; times are monotonic seconds.

    Parameters
    ----------
    retention_seconds
        How long a job is remembered after its last shard has ended.
    capacity
        Most ended jobs remembered; the one that ended first goes first.
    """

    def __init__(self, retention_seconds: float, capacity: int) -> None:
        self._retention_seconds = retention_seconds
        self._capacity = capacity
        self._jobs: dict[str, _Job] = {}
        self._idle_since: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def active_shards(self) -> list[str]:
        """Shards under way, of all jobs."""
        return [shard_id for job in self._jobs.values() for shard_id in job.active_shards]

    def check_fence(self, job_id: str, token: int, now: float) -> None:
        """Remember a token; raise STALE_FENCE when a higher one was seen for the job."""
        job = self._job(job_id, now)
        if token < job.fence_token:
            metadata = {"job_id": job_id, "token": str(token), "current_token": str(job.fence_token)}
            raise HyperscaleError(ErrorReason.STALE_FENCE, metadata=metadata)
        job.fence_token = token

    def answered(self, dispatch: WorkflowDispatch, now: float) -> WorkflowDispatchAck | None:
        """The answer this very attempt already got; None when it is new.

        Raises DUPLICATE_SHARD when another attempt runs or a newer one ran, and STALE_FENCE when the shard was
        cancelled before it arrived.
        """
        job = self._job(dispatch.job_id, now)
        shard = job.shards.get(dispatch.shard_id)
        if shard is not None and shard.attempt == dispatch.attempt:
            return shard.ack
        if shard is not None and (shard.active or shard.attempt > dispatch.attempt):
            metadata = {"shard_id": dispatch.shard_id, "attempt": str(shard.attempt)}
            raise HyperscaleError(ErrorReason.DUPLICATE_SHARD, metadata=metadata)
        if job.cancelled or dispatch.attempt <= job.cancelled_attempts.get(dispatch.shard_id, 0):
            message = f"shard {dispatch.shard_id} was cancelled before it was dispatched"
            raise HyperscaleError(ErrorReason.STALE_FENCE, message, metadata={"job_id": dispatch.job_id})
        return None

    def open(self, dispatch: WorkflowDispatch, ack: WorkflowDispatchAck, now: float) -> None:
        """A new attempt begins."""
        self._job(dispatch.job_id, now).shards[dispatch.shard_id] = _Shard(dispatch.attempt, ack)
        self._idle_since.pop(dispatch.job_id, None)

    def close(self, job_id: str, shard_id: str, now: float) -> None:
        """A shard has ended."""
        job = self._jobs[job_id]
        job.shards[shard_id].active = False
        if not job.active_shards:
            self._idle_since[job_id] = now

    def cancel(self, job_id: str, shards: Iterable[ShardAttempts], now: float) -> tuple[list[str], list[str]]:
        """Refuse attempts from now on (all of the job when none is named); return shards that run, and those that do not."""
        job = self._job(job_id, now)
        named = {one.shard_id: job.refuse(one) for one in shards}
        if not named:
            job.cancelled = True
            return job.active_shards, []
        return [one for one, runs in named.items() if runs], [one for one, runs in named.items() if not runs]

    def _expire(self, now: float) -> None:
        """Forget jobs that ended longer ago than the retention, and the oldest beyond the capacity."""
        for job_id, idle_since in list(self._idle_since.items()):
            if len(self._idle_since) <= self._capacity and idle_since + self._retention_seconds > now:
                return
            del self._idle_since[job_id]
            del self._jobs[job_id]

    def _job(self, job_id: str, now: float) -> _Job:
        job = self._jobs.get(job_id)
        if job is None:
            job = self._jobs[job_id] = _Job()
            self._idle_since[job_id] = now
            self._expire(now)
        return job
