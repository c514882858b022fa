"""The states of datacenters, by their definitions."""

from typing import Any

import pytest

from hyperscale.routing.datacenter_health import assess, watched
from hyperscale.routing.models.candidates import DatacenterHealth, SloStanding
from tests.unit.routing.candidates import near

HEALTHY, BUSY, DEGRADED, UNHEALTHY = DatacenterHealth


def slo(p50: float = 0, p95: float = 0, p99: float = 0, **seconds: float) -> SloStanding:
    return SloStanding(100.0, p50, p95, p99, **seconds)


@pytest.mark.requirement("AD-16.1")
@pytest.mark.parametrize(
    ("fields", "health", "reason"),
    [
        ({}, HEALTHY, ""),
        ({"is_reachable": False}, UNHEALTHY, "it cannot be reached"),
        ({"managers": 0, "healthy_managers": 0}, UNHEALTHY, "it has no managers"),
        ({"workers": 0, "healthy_workers": 0}, UNHEALTHY, "it has no workers"),
        ({"workers": 4, "healthy_workers": 2}, DEGRADED, "2 of 4 workers are healthy"),
        ({"workers": 4, "healthy_workers": 3}, HEALTHY, ""),
        ({"managers": 3, "healthy_managers": 1}, DEGRADED, "1 of 3 managers are healthy"),
        ({"managers": 3, "healthy_managers": 2}, HEALTHY, ""),
        ({"workers": 10, "healthy_workers": 10, "overloaded_workers": 2}, HEALTHY, ""),
        ({"workers": 10, "healthy_workers": 10, "overloaded_workers": 3}, BUSY, "3 of 10 workers are overloaded"),
        ({"workers": 10, "healthy_workers": 10, "overloaded_workers": 5}, DEGRADED, "5 of 10 workers are overloaded"),
        ({"workers": 10, "healthy_workers": 10, "overloaded_workers": 8}, UNHEALTHY, "8 of 10 workers are overloaded"),
        # Of fewer than five, 80 % is all of them: that passes, and what comes meanwhile waits.
        ({"workers": 1, "healthy_workers": 1, "overloaded_workers": 1}, DEGRADED, "1 of 1 workers are overloaded"),
        ({"workers": 4, "healthy_workers": 4, "overloaded_workers": 4}, DEGRADED, "4 of 4 workers are overloaded"),
        ({"workers": 5, "healthy_workers": 5, "overloaded_workers": 4}, UNHEALTHY, "4 of 5 workers are overloaded"),
        ({"workers": 3, "healthy_workers": 3, "overloaded_workers": 1}, BUSY, "1 of 3 workers are overloaded"),
        ({"is_leader_overloaded": True}, DEGRADED, "its leader is overloaded"),
        ({"free": 0}, BUSY, "it has no free cores"),
        ({"free": 0, "workers": 4, "healthy_workers": 1}, DEGRADED, "1 of 4 workers are healthy"),
        ({"heard_seconds_ago": 10.0}, HEALTHY, ""),
        ({"heard_seconds_ago": 11.0}, DEGRADED, "not heard of for 11 s"),
        ({"heard_seconds_ago": 11.0, "is_reachable": False}, UNHEALTHY, "it cannot be reached"),
    ],
)
def test_a_state_follows_its_definition(fields: dict[str, Any], health: DatacenterHealth, reason: str) -> None:
    finding = assess(near("east", **fields), health_ttl_seconds=10.0)
    assert (finding.health, finding.reason) == (health, reason)


@pytest.mark.parametrize(
    ("standing", "health"),
    [
        (slo(p50=149, p50_high_seconds=600), HEALTHY),
        (slo(p50=150, p50_high_seconds=59), HEALTHY),
        (slo(p50=150, p50_high_seconds=60), BUSY),
        (slo(p95=200, p95_high_seconds=179), HEALTHY),
        (slo(p95=200, p95_high_seconds=180), DEGRADED),
        (slo(p99=300, p99_high_seconds=180), DEGRADED),
        (slo(p99=500, p99_high_seconds=299, p99_extreme_seconds=299), DEGRADED),
        (slo(p99=500, p99_high_seconds=300, p99_extreme_seconds=300), UNHEALTHY),
    ],
)
def test_latencies_beyond_their_limits_for_long_enough_change_the_state(
    standing: SloStanding, health: DatacenterHealth
) -> None:
    assert assess(near("east", slo=standing), health_ttl_seconds=10.0).health is health


def test_time_beyond_a_limit_counts_only_while_it_lasts() -> None:
    standing = watched(None, 100.0, (160, 160, 160), 0.0)
    for _ in range(6):
        standing = watched(standing, 100.0, (160, 160, 160), 10.0)
    assert (standing.p50_high_seconds, standing.p95_high_seconds) == (60.0, 0.0)
    calm = watched(standing, 100.0, (100, 160, 160), 10.0)
    assert watched(calm, 100.0, (160, 160, 160), 10.0).p50_high_seconds == 0.0
