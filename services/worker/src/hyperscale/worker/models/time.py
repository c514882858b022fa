"""Instants as the control process sees them."""

from __future__ import annotations

from dataclasses import dataclass

from hyperscale.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class Moment:
    """One instant on both clocks, in seconds: monotonic for deadlines, wall for what leaves the machine."""

    monotonic: float
    wall: float

    @classmethod
    def of(cls, clock: Clock) -> Moment:
        """The present."""
        return cls(clock.monotonic(), clock.wall())
