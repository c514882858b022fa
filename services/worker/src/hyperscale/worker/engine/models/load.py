"""The load of one engine, as far as its driver has to know it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from hyperscale.workload.schedule import ArrivalSchedule, RampSchedule
from hyperscale.workload.shares import LoadPart


@dataclass(frozen=True, slots=True)
class FixedLoad:
    """Users that are there from the start."""

    vus: int
    iterations: int | None
    """Iterations that may start; None when time alone limits them."""
    is_stock_per_user: bool
    """Whether each user has that many, instead of all of them together."""


@dataclass(frozen=True, slots=True)
class RampLoad:
    """Users that come and go: those of a part of the schedule."""

    schedule: RampSchedule
    part: LoadPart
    graceful_ramp_down_seconds: float


@dataclass(frozen=True, slots=True)
class ArrivalLoad:
    """Iterations that start when they are due: those of a part of the schedule."""

    schedule: ArrivalSchedule
    part: LoadPart
    pre_allocated_vus: int
    """Of this engine, as `max_vus`."""
    max_vus: int


Load = FixedLoad | RampLoad | ArrivalLoad


@dataclass(frozen=True, slots=True)
class Pause:
    """Think time, in seconds."""

    shortest_seconds: float
    longest_seconds: float

    def draw_seconds(self) -> float:
        """One pause."""
        return random.uniform(self.shortest_seconds, self.longest_seconds)
