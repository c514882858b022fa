"""Time as a dependency, so that state machines are told the time instead of reading it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Source of time for code that a simulation runs in virtual time."""

    def wall(self) -> float:
        """Seconds since the Unix epoch; comparable between machines, may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back, only comparable within one process."""
        ...


class SystemClock:
    """The clock of the machine."""

    def wall(self) -> float:
        """Seconds since the Unix epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        return time.monotonic()
