"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MembershipSettings:
    """The same for all rows."""

    seeds: int
    """More are more exact, and take longer; coordinates and healing take some for each."""
    nodes_max: int
    """Largest group simulated."""
