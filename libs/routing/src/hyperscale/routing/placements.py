"""Jobs that were sent to a datacenter and that it has not spoken of yet: without them all jobs of a second would go to the same one."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from hyperscale.routing.models.candidates import DatacenterCandidate, DatacenterCapacity


class Placements:
    """When, and with how many cores, jobs were sent to each datacenter.

    Parameters
    ----------
    settle_seconds
        From sending a job until its datacenter counts it.
    memory_seconds
        Time after which they are forgotten: a datacenter that has been silent for longer is not trusted anyway.
    """

    def __init__(self, settle_seconds: float, memory_seconds: float) -> None:
        self._settle_seconds = settle_seconds
        self._memory_seconds = memory_seconds + settle_seconds
        self._placed: deque[tuple[float, str, int]] = deque()
        self._times: dict[str, deque[tuple[float, int]]] = {}

    def __len__(self) -> int:
        return len(self._placed)

    def add(self, datacenter: str, cores: int, now_seconds: float) -> None:
        """A job that needs so many cores is sent to a datacenter."""
        self._placed.append((now_seconds, datacenter, cores))
        self._times.setdefault(datacenter, deque()).append((now_seconds, cores))

    def expire(self, now_seconds: float) -> None:
        """Forget what is old."""
        while self._placed and now_seconds - self._placed[0][0] > self._memory_seconds:
            _, datacenter, _ = self._placed.popleft()
            times = self._times[datacenter]
            times.popleft()
            if not times:
                del self._times[datacenter]

    def counted(self, candidate: DatacenterCandidate, now_seconds: float) -> DatacenterCandidate:
        """A datacenter with the jobs that it will count when it speaks next."""
        times = self._times.get(candidate.name)
        if times is None:
            return candidate
        since = now_seconds - candidate.heard_seconds_ago - self._settle_seconds
        pending = [cores for at, cores in times if at >= since]
        return replace(candidate, capacity=_with(candidate.capacity, pending)) if pending else candidate


def _with(capacity: DatacenterCapacity, pending: list[int]) -> DatacenterCapacity:
    """Pending jobs take free cores, and queue when there are none."""
    free, queue = capacity.free_cores, capacity.queue
    for cores in pending:
        if free >= cores and not queue:
            free -= cores
        else:
            queue += 1
    return replace(capacity, free_cores=free, queue=queue)
