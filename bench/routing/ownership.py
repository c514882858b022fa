"""How many jobs get another owner when a gate leaves."""

from __future__ import annotations

from bench.routing.settings import RoutingSettings
from bench.rows import Bound, Row
from hyperscale.routing.hash_ring import HashRing

JOBS = 10_000
GATES = (2, 3, 5, 10, 20)


def measure(settings: RoutingSettings) -> list[Row]:
    """The largest share, times the number of gates."""
    worst = max(_moved(gates) * gates for gates in GATES)
    return [
        Row(
            "jobs moved when one of n gates leaves · n",
            worst,
            Bound.AT_MOST,
            1.2,
            note=f"n from {GATES[0]} to {GATES[-1]}",
        )
    ]


def _moved(gates: int) -> float:
    jobs = [f"job-{number}" for number in range(JOBS)]
    names = [f"gate-{number}" for number in range(gates)]
    whole, rest = HashRing(names), HashRing(names[1:])
    return sum(rest.owners(job, 1) != whole.owners(job, 1) for job in jobs) / JOBS
