"""Limits that hold for every job of a datacenter, and for its shards."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DatacenterLimits:
    """How many jobs, and how long their windows wait for stragglers."""

    max_active_jobs: int
    drift_tolerance_seconds: float


@dataclass(frozen=True, slots=True)
class ShardPatience:
    """How long shards may take.

    Attributes
    ----------
    settle_seconds
        To deliver their last totals, when they are stopped because the job failed or they are late.
    placement_seconds
        To be taken by a worker, while their workflow's other shards are under way.
    overrun_seconds
        To end, beyond the time of their load and its graceful stop.
    """

    settle_seconds: float
    placement_seconds: float
    overrun_seconds: float
