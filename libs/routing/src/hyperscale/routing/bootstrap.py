"""Ranking while no distance is known well enough: by free cores, then the queue, then open circuits."""

from __future__ import annotations

from hyperscale.routing.models.candidates import DatacenterCandidate
from hyperscale.routing.scoring import PREFERENCE


def bootstrap_order(candidate: DatacenterCandidate, preference: float, cooldown: float) -> tuple[float, ...]:
    """What to sort by, lowest first.

    `preference` counts as so many more cores; what has failed lately comes after what has not.
    """
    capacity, staff = candidate.capacity, candidate.staff
    return (
        cooldown,
        -capacity.free_cores / preference,
        capacity.queue,
        staff.open_circuits / max(1, staff.managers),
        -1.0 if preference == PREFERENCE else 0.0,
    )
