"""Cores over time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Instant:
    """Now, by both clocks."""

    wall_seconds: float
    monotonic_seconds: float


@dataclass(frozen=True, slots=True)
class CoreUse:
    """Cores, at least 1, and how long they are in use or will be."""

    cores: int
    seconds: float
