"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass

SIZES = (3, 10, 30, 100)
"""Numbers of datacenters."""


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    """The same for all rows."""

    seed: int
