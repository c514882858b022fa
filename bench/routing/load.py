"""How evenly jobs are spread, and how calmly."""

from __future__ import annotations

import random
import statistics
from itertools import pairwise

from bench.routing.settings import SIZES, RoutingSettings
from bench.routing.sites import CORES, JOB_SECONDS, ONE, Site, by_router, origins, play, sites
from bench.rows import Bound, Row
from hyperscale.routing.router import JobRouter

USED = 0.6
"""Share of all cores that is in use on average."""
DECISIONS = 600
"""Of one job, one a second."""


def measure_balance(settings: RoutingSettings) -> list[Row]:
    """Coefficient of variation of the mean load of datacenters that are equally far; the worst of several sizes."""
    variations = [_variation(count, settings.seed) for count in SIZES]
    note = f"{USED:.0%} of all cores in use"
    return [Row("variation of load over equal datacenters", max(variations), Bound.AT_MOST, 0.3, note=note)]


def _variation(count: int, seed: int) -> float:
    places = [Site(f"dc-{number}", 40.0, random.Random(f"{seed}/{number}")) for number in range(count)]
    per_second = USED * count * CORES / JOB_SECONDS
    _, loads = play(places, by_router(), random.Random(seed), 40 * count, per_second)
    means = [statistics.fmean(column) for column in zip(*loads[len(loads) // 4 :], strict=True)]
    variation = statistics.pstdev(means) / statistics.fmean(means)
    print(f"  {count} equal datacenters: {variation:.3f}")
    return variation


def measure_steadiness(settings: RoutingSettings) -> list[Row]:
    """Switches per decision of a job that is decided anew every second, in datacenters that others use, too."""
    switches = sum(_switches(settings.seed, origin) for origin in origins())
    note = f"probes ± 20 %, {USED:.0%} of the cores come and go"
    return [
        Row("switches per decision", 100 * switches / DECISIONS / len(origins()), Bound.AT_MOST, 1.0, "%", note=note)
    ]


def _switches(seed: int, origin: int) -> int:
    router, places, dice = JobRouter(), sites(10, seed, origin), random.Random(seed)
    chosen: list[tuple[str, ...]] = []
    for second in range(DECISIONS):
        now = float(second)
        for site in places:
            site.settle(now)
            # Others' jobs, as many as end on average.
            if dice.random() < USED * CORES / JOB_SECONDS and not site.is_full:
                site.run(now)
        chosen.append(router.decide("job", ONE, [site.known(now) for site in places], now).primaries)
    return sum(before != after for before, after in pairwise(chosen))
