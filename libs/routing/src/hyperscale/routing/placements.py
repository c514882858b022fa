"""Jobs that were sent to a datacenter and that it has not spoken of yet: without them all jobs of a second would go to the same one."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from hyperscale.routing.models.candidates import DatacenterCandidate, DatacenterCapacity


@dataclass(slots=True)
class _Placement:
    """A job that was sent."""

    job_id: str
    datacenter: str
    cores: int
    at_seconds: float
    is_settled: bool = False
    """Whether its datacenter counts it from now on, or it has ended."""


class Placements:
    """When, and with how many cores, jobs were sent to each datacenter.

    Parameters
    ----------
    settle_seconds
        From sending a job until its datacenter counts it, as long as nothing is known of its acceptance.
    memory_seconds
        Time after which they are forgotten: a datacenter that has been silent for longer is not trusted anyway.
    """

    def __init__(self, settle_seconds: float, memory_seconds: float) -> None:
        self._settle_seconds = settle_seconds
        self._memory_seconds = memory_seconds + settle_seconds
        self._placed: deque[_Placement] = deque()
        self._by_datacenter: dict[str, deque[_Placement]] = {}
        self._by_job: dict[str, list[_Placement]] = {}

    def __len__(self) -> int:
        return len(self._placed)

    def add(self, job_id: str, datacenter: str, cores: int, now_seconds: float) -> None:
        """A job that needs so many cores is sent to a datacenter."""
        placement = _Placement(job_id, datacenter, cores, now_seconds)
        self._placed.append(placement)
        self._by_datacenter.setdefault(datacenter, deque()).append(placement)
        self._by_job.setdefault(job_id, []).append(placement)

    def accepted(self, job_id: str, datacenter: str) -> None:
        """A datacenter has taken a job over."""
        for placement in self._by_job.get(job_id, ()):
            placement.is_settled |= placement.datacenter == datacenter

    def ended(self, job_id: str) -> None:
        """A job is over, maybe before its datacenters could say that they had taken it over."""
        for placement in self._by_job.get(job_id, ()):
            placement.is_settled = True

    def expire(self, now_seconds: float) -> None:
        """Forget what is old."""
        while self._placed and now_seconds - self._placed[0].at_seconds > self._memory_seconds:
            oldest = self._placed.popleft()
            self._by_datacenter[oldest.datacenter].popleft()
            if not self._by_datacenter[oldest.datacenter]:
                del self._by_datacenter[oldest.datacenter]
            self._by_job[oldest.job_id].remove(oldest)
            if not self._by_job[oldest.job_id]:
                del self._by_job[oldest.job_id]

    def counted(self, candidate: DatacenterCandidate, now_seconds: float) -> DatacenterCandidate:
        """A datacenter with the jobs that it will count when it speaks next."""
        placed = self._by_datacenter.get(candidate.name)
        if placed is None:
            return candidate
        heard_at = now_seconds - candidate.heard_seconds_ago
        pending = [placement.cores for placement in placed if self._is_pending(placement, heard_at)]
        return replace(candidate, capacity=_with(candidate.capacity, pending)) if pending else candidate

    def _is_pending(self, placement: _Placement, heard_at: float) -> bool:
        """Whether a datacenter did not count a job yet when it spoke: one that has it says so as soon as cores change hands."""
        settle_seconds = 0.0 if placement.is_settled else self._settle_seconds
        return placement.at_seconds + settle_seconds >= heard_at


def _with(capacity: DatacenterCapacity, pending: list[int]) -> DatacenterCapacity:
    """Pending jobs take free cores, and queue when there are none."""
    free, queue = capacity.free_cores, capacity.queue
    for cores in pending:
        if free >= cores and not queue:
            free -= cores
        else:
            queue += 1
    return replace(capacity, free_cores=free, queue=queue)
