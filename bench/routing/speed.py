"""How long a decision takes."""

from __future__ import annotations

import math
import random
import time

from bench.routing.settings import RoutingSettings
from bench.routing.sites import CORES, ONE, sites
from bench.rows import Bound, Row
from hyperscale.routing.models.candidates import DatacenterCandidate
from hyperscale.routing.router import JobRouter

ROUNDS = 9


def measure(settings: RoutingSettings) -> list[Row]:
    """Processor time of one decision, and how it grows."""
    hundred, thousand = _decision_ms(100, settings.seed), _decision_ms(1000, settings.seed)
    print(f"  over 10: {_decision_ms(10, settings.seed):.3f} ms, 100: {hundred:.3f} ms, 1000: {thousand:.3f} ms")
    n_log_n = (1000 * math.log(1000)) / (100 * math.log(100))
    note = "every third one full, every tenth learnt from or failing"
    return [
        Row("a decision over 100 datacenters", hundred, Bound.AT_MOST, 1.0, "ms", note=note),
        Row("growth from 100 to 1000, as a share of n·log n", thousand / hundred / n_log_n, Bound.AT_MOST, 1.0),
    ]


def candidates_of(count: int, seed: int) -> list[DatacenterCandidate]:
    """Datacenters of which every third has no free core, and the others some."""
    dice, places = random.Random(seed), sites(count, seed)
    for number, site in enumerate(places):
        for _ in range(CORES + 2 if number % 3 == 0 else dice.randrange(CORES)):
            site.run(0.0)
        site.settle(0.0)
    return [site.known(0.5) for site in places]


def router_of(candidates: list[DatacenterCandidate]) -> JobRouter:
    """A router that has learnt of every tenth datacenter, and was failed by every tenth."""
    router = JobRouter()
    for candidate in candidates[1::10]:
        router.observe(candidate.name, 50.0, 0.0)
    for candidate in candidates[2::10]:
        router.fail(candidate.name, 0.0)
    return router


def _decision_ms(count: int, seed: int) -> float:
    """The best of several rounds."""
    candidates = candidates_of(count, seed)
    router, rounds, each = router_of(candidates), [], max(5, 1000 // count)
    for _ in range(ROUNDS):
        began = time.process_time()
        for number in range(each):
            router.decide(f"job-{number % 5}", ONE, candidates, 0.5)
        rounds.append((time.process_time() - began) / each)
    return min(rounds) * 1000
