"""Cores of a datacenter: how many there are, and when enough of them will be free."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import attrgetter

from hyperscale.routing.models.candidates import CapacityReport, DatacenterCapacity

_LEAST_SECONDS = 0.1
"""Wait of what cannot start now, though nothing that is known keeps it from doing so: what should have ended has not."""


def aggregated(reports: Sequence[CapacityReport], ttl_seconds: float) -> CapacityReport | None:
    """The word that counts for a datacenter, of all that its managers say; None when all of it is older than the limit.

    Every manager sees all workers, so that their words are not added up: that of the leader counts, of the highest term when
    several believe they lead; while none leads, the latest.
    """
    fresh = [report for report in reports if report.age_seconds <= ttl_seconds]
    return max(fresh, key=lambda report: (report.is_leader, report.term, -report.age_seconds), default=None)


def utilization(capacity: DatacenterCapacity) -> float:
    """Share of the cores that have work; 1 when there are none."""
    return 1.0 - min(capacity.free_cores, capacity.total_cores) / capacity.total_cores if capacity.total_cores else 1.0


def can_start(capacity: DatacenterCapacity, cores: int) -> bool:
    """Whether work that needs so many cores would start now."""
    return capacity.free_cores >= cores and not capacity.queue and not capacity.queued


def wait_seconds(capacity: DatacenterCapacity, cores: int) -> float:
    """How long work that needs so many cores would wait; infinite when that cannot be told, or never ends; 0 when it can start now.

    Running shards free their cores in the order in which they end until enough are free; then comes the queue ahead, whose
    work is spread over all cores.
    """
    if can_start(capacity, cores):
        return 0.0
    queue_seconds = sum(work.cores * work.lasts_seconds for work in capacity.queued) / max(1, capacity.total_cores)
    free, waited_seconds = capacity.free_cores, 0.0
    for shard in sorted(capacity.running, key=attrgetter("ends_in_seconds")):
        if free >= cores:
            break
        free += shard.cores
        waited_seconds = max(waited_seconds, shard.ends_in_seconds)
    if free < cores:
        return math.inf
    return max(max(0.0, waited_seconds - capacity.age_seconds) + queue_seconds, _LEAST_SECONDS)
