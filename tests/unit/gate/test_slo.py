"""Datacenters are judged by how long requests take there."""

import pytest

from hyperscale.v1 import routing_pb2
from hyperscale.v1.progress_pb2 import RequestLatency
from tests.unit.gate.test_capacity import Landscape, job, news

TARGET_MS = 100.0


def told(p50_ms: float, p95_ms: float, p99_ms: float, count: int = 1000) -> RequestLatency:
    return RequestLatency(count=count, p50_ms=p50_ms, p95_ms=p95_ms, p99_ms=p99_ms)


class Place:
    """Datacenters whose managers speak every second."""

    def __init__(self, target_ms: float | None = TARGET_MS, *names: str) -> None:
        self.gate = Landscape(slo_target_ms=target_ms)
        self._names = names or ("east",)
        self.gate.hear(*map(news, self._names))

    def spend(self, seconds: float, latency: RequestLatency | None, name: str = "east") -> None:
        """Let time pass in which a datacenter tells the same latency every second; the others tell none."""
        for _ in range(int(seconds)):
            self.gate.now += 1.0
            for each in self._names:
                beat = news(each)
                if each == name and latency is not None:
                    beat.request_latency.CopyFrom(latency)
                self.gate.registry.hear(beat)

    @property
    def east(self) -> routing_pb2.RoutingCandidate:
        return self.gate.standing("east")

    @property
    def health(self) -> str:
        return routing_pb2.RoutingHealth.Name(self.east.health).removeprefix("ROUTING_HEALTH_")


@pytest.mark.requirement("AD-42.1")
@pytest.mark.parametrize(
    ("latency", "seconds", "health", "reason", "factor"),
    [
        (told(150, 160, 170), 60, "BUSY", "p50 is 1.5 times its target for 60 s", 1.0),
        (told(20, 200, 210), 180, "DEGRADED", "p95 is 2.0 times its target for 180 s", 1.0),
        (told(20, 30, 450), 180, "DEGRADED", "p99 is 4.5 times its target for 180 s", 1.5),
    ],
)
def test_latencies_beyond_the_target_for_long_enough_decide_health_and_at_once_the_score(
    latency: RequestLatency, seconds: int, health: str, reason: str, factor: float
) -> None:
    places = Place(TARGET_MS, "east", "west")
    places.spend(1, latency)
    places.spend(seconds - 1, latency)
    assert places.health == "HEALTHY"
    assert places.east.score.slo == pytest.approx(factor)
    places.spend(1, latency)
    assert places.health == health
    assert reason in places.east.reason
    assert places.gate.decide(job(1)).candidates[0].datacenter == "west"
    places.spend(1, told(20, 30, 40))
    assert places.health == "HEALTHY"


@pytest.mark.requirement("AD-42.1")
def test_one_where_requests_take_far_too_long_for_far_too_long_is_not_used() -> None:
    places = Place(TARGET_MS, "east", "west")
    places.spend(301, told(20, 30, 500))
    east = places.east
    assert east.outcome == routing_pb2.ROUTING_OUTCOME_EXCLUDED
    assert east.reason == "it is unhealthy (p99 is 5.0 times its target for 300 s)"


def test_a_break_begins_anew_and_so_does_a_silence_of_requests() -> None:
    places, slow = Place(), told(150, 160, 170)
    for calm in (told(20, 30, 40), told(150, 160, 170, count=99), None):
        places.spend(55, slow)
        places.spend(1, calm)
    places.spend(55, slow)
    assert places.health == "HEALTHY"


def test_without_a_target_and_with_few_requests_latencies_do_not_count() -> None:
    for places, count in ((Place(None), 1000), (Place(), 99)):
        places.spend(70, told(1000, 2000, 3000, count))
        assert (places.health, places.east.score.slo) == ("HEALTHY", 1.0)
