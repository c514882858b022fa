"""Simulated datacenters, as they are and as a gate knows them.

What is assumed of all of them: 16 cores; a heartbeat a second with the cores that are busy; a probe a second whose round trip
is up to a fifth longer or shorter than the true one. As gates do, the gate takes the median of the last three, and half of
what the longest of the last sixteen is above it for their deviation. Jobs take one core for ten seconds on average,
exponentially distributed.
"""

from __future__ import annotations

import heapq
import math
import random
import statistics
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hyperscale.routing.models.candidates import (
    DatacenterCandidate,
    DatacenterCapacity,
    RoundTrip,
    RoutingRequest,
    RunningShard,
)
from hyperscale.routing.router import JobRouter
from hyperscale.swim.simulator.topology import regions

CORES = 16
NOISE = 0.2
HEARTBEAT_SECONDS = 1.0
JOB_SECONDS = 10.0
ONE = RoutingRequest()
_MEDIAN_OF = 3
_PROBES = 16


@dataclass(slots=True)
class Site:
    """A simulated datacenter."""

    name: str
    rtt_ms: float
    dice: random.Random
    ends: list[float] = field(default_factory=list)
    heard_at: float = -math.inf
    heard_ends: list[float] = field(default_factory=list)
    probes: deque[float] = field(default_factory=lambda: deque(maxlen=_PROBES))
    lost_at: float = math.inf

    def settle(self, now: float) -> None:
        """End what is over, and speak if it is time to."""
        while self.ends and self.ends[0] <= now:
            heapq.heappop(self.ends)
        if now < self.lost_at and now - self.heard_at >= HEARTBEAT_SECONDS:
            self.heard_at, self.heard_ends = now, list(self.ends)
            for _ in range(1 if self.probes else _MEDIAN_OF):
                self.probes.append(self.rtt_ms * (1.0 + self.dice.uniform(-NOISE, NOISE)))

    def run(self, now: float) -> None:
        """Take a job."""
        heapq.heappush(self.ends, now + self.dice.expovariate(1 / JOB_SECONDS))

    @property
    def is_full(self) -> bool:
        """Whether a job would wait."""
        return len(self.ends) >= CORES

    def known(self, now: float) -> DatacenterCandidate:
        """What the gate knows of it."""
        rtt_ms = statistics.median(list(self.probes)[-_MEDIAN_OF:])
        sigma_ms = min((max(self.probes) - rtt_ms) / 2, rtt_ms / 2)
        return self._candidate(now, self.heard_ends, now - self.heard_at, RoundTrip(rtt_ms, sigma_ms))

    def truth(self, now: float) -> DatacenterCandidate:
        """What somebody would know whose word of it were never late and never wrong."""
        return self._candidate(now, self.ends, 0.0, RoundTrip(self.rtt_ms))

    def _candidate(
        self, now: float, ends: Sequence[float], heard_seconds_ago: float, round_trip: RoundTrip
    ) -> DatacenterCandidate:
        running = tuple(RunningShard(1, max(0.0, end - now)) for end in ends[:CORES])
        capacity = DatacenterCapacity(CORES, CORES - len(running), max(0, len(ends) - CORES), running)
        return DatacenterCandidate(
            self.name, capacity=capacity, heard_seconds_ago=heard_seconds_ago, round_trip=round_trip
        )


Choose = Callable[[list[Site], float, str], Site]


def origins() -> range:
    """The regions a gate may stand in."""
    return range(len(regions()))


def sites(count: int, seed: int, origin: int = 0) -> list[Site]:
    """Datacenters in the regions of a large cloud, seen from one that has none; several of a region differ a little."""
    dice = random.Random(f"{seed}/{count}/{origin}")
    elsewhere = [trip * 1000 for region, trip in enumerate(regions()[origin]) if region != origin]
    trips = [elsewhere[number % len(elsewhere)] * dice.uniform(0.9, 1.3) for number in range(count)]
    return [Site(f"dc-{number}", trip, random.Random(f"{seed}/{number}")) for number, trip in enumerate(trips)]


def play(
    places: list[Site], choose: Choose, dice: random.Random, jobs: int, per_second: float
) -> tuple[list[float], list[list[int]]]:
    """Let jobs arrive at random; the true round trip of each one's datacenter, and the load of all at each arrival."""
    now, trips, loads = 0.0, [], []
    for number in range(jobs):
        now += dice.expovariate(per_second)
        for site in places:
            site.settle(now)
        site = choose(places, now, f"job-{number}")
        site.run(now)
        trips.append(site.rtt_ms)
        loads.append([len(one.ends) for one in places])
    return trips, loads


def by_router(knows: Callable[[Site, float], DatacenterCandidate] = Site.known) -> Choose:
    """Each job decided once, by what is known of datacenters."""
    router = JobRouter()

    def choose(places: list[Site], now: float, job_id: str) -> Site:
        (name,) = router.decide(job_id, ONE, [knows(site, now) for site in places], now).primaries
        router.forget(job_id)
        return next(site for site in places if site.name == name)

    return choose


def by_oracle(places: list[Site], now: float, job_id: str) -> Site:
    """The nearest one that has a free core now, by its true round trip."""
    return min(places, key=lambda site: (site.is_full, site.rtt_ms))


def by_chance(seed: int) -> Choose:
    """Any of them."""
    dice = random.Random(seed)
    return lambda places, now, job_id: dice.choice(places)
