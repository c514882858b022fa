"""What is remembered of a job between its decisions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tenure:
    """A datacenter that a job has, and since when; then since when its score has been far above the best one."""

    name: str
    since_seconds: float
    excess_since_seconds: float | None = None
