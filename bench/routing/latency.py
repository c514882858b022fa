"""How near the datacenters are that jobs go to."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable

from bench.routing.settings import SIZES, RoutingSettings
from bench.routing.sites import CORES, JOB_SECONDS, Choose, Site, by_chance, by_oracle, by_router, origins, play, sites
from bench.rows import Bound, Row

WHOLE = 10
"""From this size on there is a datacenter in every region. Of three, the nearest is often not twice as near as the others."""
JOBS = 200
LIGHT, HEAVY = 0.25, 2.0
"""Jobs under way at a time, as shares of the cores of one datacenter: the nearest one takes all, or not nearly."""


def measure(settings: RoutingSettings) -> list[Row]:
    """The median round trip of the datacenter chosen, averaged over gates in every region; rows show the worst size.

    The crowded runs are printed for comparison: the rules leave a datacenter before it is full, which the oracle never does, so
    that they are compared with themselves, given true values.
    """
    against_chance, against_oracle = [], []
    for count in SIZES:
        router, oracle, _, chance = _means(count, settings.seed, LIGHT)
        print(
            f"  {count} datacenters: router {router:.1f} ms, oracle {oracle:.1f} ms, random {chance:.1f} ms;", end=" "
        )
        crowded, greedy, ideal, _ = _means(count, settings.seed, HEAVY)
        print(f"crowded: router {crowded:.1f} ms, told the truth {ideal:.1f} ms, oracle {greedy:.1f} ms", flush=True)
        if count >= WHOLE:
            against_chance.append(router / chance)
        against_oracle.append(router / oracle)
    note = f"jobs for {LIGHT:.0%} of the cores of one datacenter"
    return [
        Row("median round trip / that of random choice", max(against_chance), Bound.AT_MOST, 0.5, note=note),
        Row("median round trip / that of an oracle", max(against_oracle), Bound.AT_MOST, 1.1, note=note),
    ]


def _means(count: int, seed: int, share: float) -> list[float]:
    medians = (_medians(count, seed, origin, share) for origin in origins())
    return [statistics.fmean(column) for column in zip(*medians, strict=True)]


def _medians(count: int, seed: int, origin: int, share: float) -> list[float]:
    per_second = share * CORES / JOB_SECONDS

    def median(choose: Choose) -> float:
        places, dice = sites(count, seed, origin), random.Random(seed)
        return statistics.median(play(places, choose, dice, JOBS, per_second)[0])

    methods: tuple[Callable[[], Choose], ...] = (
        by_router,
        lambda: by_oracle,
        lambda: by_router(Site.truth),
        lambda: by_chance(seed),
    )
    return [median(method()) for method in methods]
