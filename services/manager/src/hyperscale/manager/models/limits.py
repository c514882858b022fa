"""Limits that hold for every job of a datacenter."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DatacenterLimits:
    """How many jobs, and how long their windows wait for stragglers."""

    max_active_jobs: int
    drift_tolerance_seconds: float
