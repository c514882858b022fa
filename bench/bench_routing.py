"""Where jobs go: the router beside random choice, the nearest datacenter and an oracle that knows every true round trip.

Simulated: 3 to 100 datacenters with the round trips between regions of a large cloud, jobs that arrive at random, heartbeats once a
second, noise on what is measured, and an outage. Measured on this machine: how long a decision takes.
`python bench/bench_routing.py [--seed N]`; prints a row per target and appends JSON to bench/results.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from hyperscale.routing.hash_ring import HashRing  # noqa: E402
from hyperscale.routing.models.candidates import (  # noqa: E402
    DatacenterCandidate,
    DatacenterCapacity,
    RoundTrip,
    RoutingRequest,
)
from hyperscale.routing.router import JobRouter  # noqa: E402
from hyperscale.swim.simulator.topology import regions  # noqa: E402

RESULTS = REPOSITORY / "bench" / "results" / "routing.jsonl"
ONE = RoutingRequest()
HEARTBEAT_SECONDS = 1.0
CORES = 16


@dataclass(slots=True)
class Site:
    """A simulated datacenter."""

    name: str
    rtt_ms: float
    ends: list[float] = field(default_factory=list)
    heard_at: float = 0.0
    heard_busy: int = 0
    lost_at: float = math.inf

    def settle(self, now: float) -> None:
        """End what is over, and speak if it is time to."""
        while self.ends and self.ends[0] <= now:
            heapq.heappop(self.ends)
        if now < self.lost_at and now - self.heard_at >= HEARTBEAT_SECONDS:
            self.heard_at, self.heard_busy = now, len(self.ends)

    def candidate(self, now: float, noise: float, dice: random.Random) -> DatacenterCandidate:
        """What the gate knows of it."""
        measured_ms = self.rtt_ms * (1.0 + dice.uniform(-noise, noise))
        busy = min(CORES, self.heard_busy)
        return DatacenterCandidate(
            self.name,
            capacity=DatacenterCapacity(CORES, CORES - busy, max(0, self.heard_busy - CORES)),
            heard_seconds_ago=now - self.heard_at,
            round_trip=RoundTrip(measured_ms, measured_ms * noise / 2),
        )


@dataclass(frozen=True, slots=True)
class Row:
    """A target and what was found."""

    target: str
    value: float
    limit: float

    @property
    def is_met(self) -> bool:
        """Whether the value is within the limit."""
        return self.value <= self.limit


Choose = Callable[[list[Site], float, str], Site]


def sites(count: int, dice: random.Random) -> list[Site]:
    """Datacenters as a gate sees them from a region that has none itself."""
    matrix = regions()
    here = dice.randrange(len(matrix))
    elsewhere = [trip * 1000 for region, trip in enumerate(matrix[here]) if region != here]
    trips = [elsewhere[number % len(elsewhere)] for number in range(count)]
    return [Site(f"dc-{number}", trip * dice.uniform(0.9, 1.3) + 0.5) for number, trip in enumerate(trips)]


def play(
    places: list[Site], choose: Choose, dice: random.Random, jobs: int, per_second: float
) -> tuple[list[float], list[list[int]]]:
    """Let jobs arrive; returns the true round trip of each one's datacenter, and the load of all at each arrival."""
    now, trips, loads = 0.0, [], []
    for number in range(jobs):
        now += dice.expovariate(per_second)
        for site in places:
            site.settle(now)
        site = choose(places, now, f"job-{number}")
        heapq.heappush(site.ends, now + dice.expovariate(1 / 10.0))
        trips.append(site.rtt_ms)
        loads.append([len(one.ends) for one in places])
    return trips, loads


def by_router(router: JobRouter, dice: random.Random, noise: float = 0.2) -> Choose:
    """Each job decided once."""

    def choose(places: list[Site], now: float, job_id: str) -> Site:
        candidates = [site.candidate(now, noise, dice) for site in places]
        (name,) = router.decide(job_id, ONE, candidates, now).primaries
        router.forget(job_id)
        return next(site for site in places if site.name == name)

    return choose


def by_oracle(places: list[Site], now: float, job_id: str) -> Site:
    """The nearest one that has a free core now, by its true round trip."""
    return min(places, key=lambda site: (len(site.ends) >= CORES, site.rtt_ms))


def by_distance(places: list[Site], now: float, job_id: str) -> Site:
    """The nearest one, whatever its load."""
    return min(places, key=lambda site: site.rtt_ms)


def by_chance(dice: random.Random) -> Choose:
    """Any of them."""
    return lambda places, now, job_id: dice.choice(places)


def latency(seed: int) -> list[Row]:
    """The median round trip of the datacenter chosen, for several sizes; the worst of them is the row's value.

    Under light load: more of it makes the router leave the nearest one on purpose, and the oracle does not.
    """
    against_random, against_oracle = [], []
    for count in (3, 11, 30, 100):
        medians = []
        dice = random.Random(seed)
        methods: Sequence[Choose] = (
            by_router(JobRouter(), dice, noise=0.1),
            by_oracle,
            by_distance,
            by_chance(dice),
        )
        for choose in methods:
            trips = [
                trip
                for place in range(5)
                for trip in play(sites(count, random.Random(seed + place)), choose, dice, 400, 0.1)[0]
            ]
            medians.append(statistics.median(trips))
        router, oracle, nearest, chance = medians
        print(
            f"  {count:3} datacenters: router {router:.1f} ms, oracle {oracle:.1f}, nearest {nearest:.1f}, random {chance:.1f}"
        )
        if count >= len(regions()):
            # Of three datacenters the nearest one is often not twice as near as the others.
            against_random.append(router / chance)
        against_oracle.append(router / oracle)
    return [
        Row("median RTT / random choice", max(against_random), 0.5),
        Row("median RTT / oracle", max(against_oracle), 1.1),
    ]


def balance(seed: int) -> Row:
    """Coefficient of variation of the mean load of datacenters that are equally far."""
    worst = 0.0
    for count in (3, 10, 30, 100):
        dice = random.Random(seed)
        places = [Site(f"dc-{number}", 40.0) for number in range(count)]
        _, loads = play(places, by_router(JobRouter(), dice, noise=0.0), dice, 40 * count, count * CORES / 10 * 0.6)
        means = [statistics.fmean(column) for column in zip(*loads[len(loads) // 4 :], strict=True)]
        variation = statistics.pstdev(means) / statistics.fmean(means)
        print(f"  {count:3} equal datacenters: coefficient of variation {variation:.3f}")
        worst = max(worst, variation)
    return Row("variation of load over equal datacenters", worst, 0.3)


def steadiness(seed: int) -> Row:
    """Switches per decision of jobs that are decided anew every second while measurements are noisy."""
    dice, switches, decisions = random.Random(seed), 0, 0
    for start in range(20):
        router, places, before = JobRouter(), sites(11, random.Random(seed + start)), ""
        for second in range(600):
            candidates = [Site(site.name, site.rtt_ms, heard_at=second).candidate(second, 0.2, dice) for site in places]
            (name,) = router.decide("job", ONE, candidates, float(second)).primaries
            switches += bool(before) and name != before
            decisions, before = decisions + 1, name
    return Row("switches per decision, ±20 % noise", switches / decisions, 0.01)


def outage(seed: int) -> Row:
    """Seconds from the loss of the datacenter in use until jobs go elsewhere, with nothing but its silence to tell."""
    worst = 0.0
    for start in range(20):
        dice = random.Random(seed + start)
        router, places, now = JobRouter(), sites(11, dice), 0.0
        nearest = by_distance(places, 0.0, "")
        nearest.lost_at = 60 + dice.random()
        while True:
            now += 0.1
            for site in places:
                site.settle(now)
            (name,) = router.decide("job", ONE, [site.candidate(now, 0.0, dice) for site in places], now).primaries
            if now > nearest.lost_at and name != nearest.name:
                break
        worst = max(worst, now - nearest.lost_at)
    return Row("seconds until a lost datacenter is avoided", worst, 10.0)


def decision_ms(count: int, seed: int) -> float:
    """Processor time of one decision: the best of several rounds."""
    dice = random.Random(seed)
    candidates = [site.candidate(0.0, 0.1, dice) for site in sites(count, dice)]
    rounds, each = [], max(5, 2000 // count)
    router = JobRouter()
    for _ in range(7):
        began = time.process_time()
        for number in range(each):
            router.decide(f"job-{number % 5}", ONE, candidates, 0.0)
        rounds.append((time.process_time() - began) / each)
    return min(rounds) * 1000


def speed(seed: int) -> list[Row]:
    """How long decisions take, and how that grows."""
    hundred, thousand = decision_ms(100, seed), decision_ms(1000, seed)
    print(f"  a decision over 10: {decision_ms(10, seed):.3f} ms, 100: {hundred:.3f} ms, 1000: {thousand:.3f} ms")
    growth = (1000 * math.log(1000)) / (100 * math.log(100))
    return [
        Row("ms for a decision over 100 datacenters", hundred, 1.0),
        Row("growth from 100 to 1000 / n·log n", thousand / hundred / growth, 1.0),
    ]


def ring() -> Row:
    """Largest share of jobs that moves when one of n gates leaves, times n."""
    jobs = [f"job-{number}" for number in range(10_000)]
    worst = 0.0
    for gates in (2, 3, 5, 10, 20):
        names = [f"gate-{number}" for number in range(gates)]
        whole = HashRing(names)
        before = [whole.owners(job, 1) for job in jobs]
        rest = HashRing(names[1:])
        moved = sum(rest.owners(job, 1) != owner for job, owner in zip(jobs, before, strict=True))
        worst = max(worst, moved / len(jobs) * gates)
    return Row("jobs moved when one of n gates leaves · n", worst, 1.2)


def main() -> int:
    """Run every row; the exit code says whether all targets are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=1)
    seed = parser.parse_args().seed
    rows = [*latency(seed), balance(seed), steadiness(seed), outage(seed), *speed(seed), ring()]
    for row in rows:
        print(f"{'met ' if row.is_met else 'MISS'}  {row.target}: {row.value:.3f} (at most {row.limit:g})")
    RESULTS.parent.mkdir(exist_ok=True)
    figures = {row.target: round(row.value, 4) for row in rows}
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"at": time.time(), "seed": seed, "rows": figures}) + "\n")
    return 0 if all(row.is_met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
