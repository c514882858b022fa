"""How soon jobs avoid a datacenter that is lost."""

from __future__ import annotations

import random

from bench.routing.settings import RoutingSettings
from bench.routing.sites import ONE, origins, sites
from bench.rows import Bound, Row
from hyperscale.routing.router import JobRouter

LOOK_SECONDS = 0.1
NEW_JOB_SECONDS = 1.0
"""Between two new jobs: few enough for the nearest datacenter not to fill up."""
WATCHED_SECONDS = 20.0


def measure(settings: RoutingSettings) -> list[Row]:
    """From the loss of the datacenter in use until no job, old or new, goes there; nothing but its silence tells."""
    worst = max(_seconds(settings.seed, origin) for origin in origins())
    note = "worst of eleven gates; only its silence tells"
    return [Row("until a lost datacenter is avoided", worst, Bound.AT_MOST, 10.0, "s", note=note)]


def _seconds(seed: int, origin: int) -> float:
    router, places, dice = JobRouter(), sites(10, seed, origin), random.Random(f"{seed}/{origin}")
    nearest = min(places, key=lambda site: site.rtt_ms)
    lost_at = nearest.lost_at = 60 + dice.random()
    last_used_at = lost_at
    for look in range(int((lost_at + WATCHED_SECONDS) / LOOK_SECONDS)):
        now = look * LOOK_SECONDS
        for site in places:
            site.settle(now)
        candidates = [site.known(now) for site in places]
        decisions = [router.decide("old", ONE, candidates, now)]
        if now % NEW_JOB_SECONDS < LOOK_SECONDS:
            decisions.append(router.decide("new", ONE, candidates, now))
            router.forget("new")
        if any(nearest.name in decision.primaries for decision in decisions):
            last_used_at = now
    return last_used_at + LOOK_SECONDS - lost_at
