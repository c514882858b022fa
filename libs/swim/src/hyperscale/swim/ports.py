"""What the core is given from outside."""

from __future__ import annotations

from typing import Protocol


class RandomSource(Protocol):
    """Source of random numbers; `random.Random` is one."""

    def random(self) -> float:
        """Return a number of [0, 1)."""
        ...

    def gauss(self, mean: float, sigma: float, /) -> float:
        """Return a normally distributed number."""
        ...
