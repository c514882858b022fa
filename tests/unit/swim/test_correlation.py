from __future__ import annotations

import pytest

from hyperscale.swim.correlation import (
    CorrelationConfig,
    CorrelationDetector,
    CorrelationLevel,
    DatacenterCondition,
    SecondarySign,
)

SITES = [f"dc{n}" for n in range(6)]


def detector(sites: list[str] | None = None) -> CorrelationDetector:
    watching = CorrelationDetector(CorrelationConfig())
    for site in SITES if sites is None else sites:
        watching.watch(site)
    return watching


@pytest.mark.parametrize(
    ("failed", "seconds_later", "level", "delays"),
    [
        (1, 10, CorrelationLevel.NONE, False),
        (2, 10, CorrelationLevel.LOW, False),
        (3, 2, CorrelationLevel.NONE, False),
        (4, 2, CorrelationLevel.LOW, False),
        (3, 10, CorrelationLevel.MEDIUM, True),
        (4, 10, CorrelationLevel.HIGH, True),
    ],
)
def test_failures_that_come_together_delay_eviction(
    failed: int, seconds_later: float, level: CorrelationLevel, delays: bool
) -> None:
    watching = detector()
    for site in SITES[:failed]:
        watching.failed(site, 100.0)
    judgement = watching.assess(100.0 + seconds_later)
    assert (judgement.level, judgement.delays_eviction) == (level, delays)
    assert judgement.datacenters == tuple(SITES[:failed])


def test_few_of_many_are_not_the_whole_network() -> None:
    watching = detector([f"dc{n}" for n in range(20)])
    for number in range(4):
        watching.failed(f"dc{number}", 0.0)
    assert watching.assess(10.0).level is CorrelationLevel.MEDIUM


def test_failures_far_apart_do_not_belong_together() -> None:
    watching = detector()
    for number, site in enumerate(SITES[:3]):
        watching.failed(site, 100.0 * number)
    judgement = watching.assess(210.0)
    assert judgement.level is CorrelationLevel.NONE
    assert judgement.datacenters == ("dc2",)


def test_eviction_stays_delayed_for_a_while() -> None:
    watching = detector()
    for site in SITES[:4]:
        watching.failed(site, 0.0)
    assert watching.assess(10.0).level is CorrelationLevel.HIGH
    for site in SITES[:4]:
        watching.recovered(site, 11.0)
    assert watching.assess(69.0).level is CorrelationLevel.MEDIUM
    assert watching.assess(71.0).level is CorrelationLevel.NONE


def test_a_datacenter_passes_through_its_conditions() -> None:
    watching = detector()
    assert watching.condition("dc0", 0.0) is DatacenterCondition.HEALTHY
    watching.failed("dc0", 0.0)
    watching.failed("dc0", 3.0)
    assert watching.condition("dc0", 4.0) is DatacenterCondition.FAILING
    assert watching.condition("dc0", 5.0) is DatacenterCondition.FAILED
    watching.recovered("dc0", 6.0)
    assert watching.condition("dc0", 35.0) is DatacenterCondition.RECOVERING
    assert watching.condition("dc0", 36.0) is DatacenterCondition.HEALTHY
    watching.health_scored("dc0", 3)
    assert watching.condition("dc0", 36.0) is DatacenterCondition.DEGRADED


def test_flapping_counts_as_failed_until_it_has_been_calm() -> None:
    watching = detector()
    for at in (0.0, 40.0, 80.0):
        watching.failed("dc0", at)
        watching.recovered("dc0", at + 1)
    assert watching.condition("dc0", 379.0) is DatacenterCondition.FLAPPING
    watching.failed("dc1", 370.0)
    assert watching.assess(379.0).level is CorrelationLevel.LOW
    assert watching.condition("dc0", 380.0) is DatacenterCondition.HEALTHY


def slow(watching: CorrelationDetector, site: str) -> None:
    for second in range(3):
        watching.answered(site, 0.2, float(second))


def hard_pressed(watching: CorrelationDetector, site: str) -> None:
    for worker in ("w1", "w2"):
        watching.extension_asked(site, worker, 0.0)


def test_two_weak_signs_in_half_of_the_datacenters_delay_eviction() -> None:
    watching = detector()
    for site in SITES[:3]:
        slow(watching, site)
    one = watching.assess(5.0)
    assert one.signs == frozenset({SecondarySign.LATENCY})
    assert one.is_likely_network
    assert not one.delays_eviction
    for site in SITES[3:]:
        hard_pressed(watching, site)
    two = watching.assess(5.0)
    assert two.level is CorrelationLevel.NONE
    assert two.delays_eviction
    assert not watching.assess(200.0).signs


def test_signs_of_too_few_count_for_nothing() -> None:
    watching = detector()
    for site in SITES[:2]:
        slow(watching, site)
        hard_pressed(watching, site)
        watching.health_scored(site, 7)
    watching.answered("dc2", 0.2, 0.0)
    watching.extension_asked("dc2", "w1", 0.0)
    watching.extension_asked("dc2", "w1", 1.0)
    assert not watching.assess(5.0).signs
    assert not detector([]).assess(0.0).signs


def test_nodes_that_ask_for_time_and_doubt_themselves_point_to_the_network() -> None:
    watching = detector()
    for site in SITES[:3]:
        hard_pressed(watching, site)
    assert not watching.assess(5.0).is_likely_network
    for site in SITES[:3]:
        watching.health_scored(site, 3)
    assert watching.assess(5.0).is_likely_network


def test_what_is_not_watched_is_not_counted() -> None:
    watching = detector(["dc0"])
    for site in SITES:
        watching.failed(site, 0.0)
        watching.recovered(site, 1.0)
        watching.failed(site, 2.0)
        slow(watching, site)
        hard_pressed(watching, site)
        watching.health_scored(site, 7)
    assert watching.assess(10.0).datacenters == ("dc0",)
    watching.unwatch("dc0")
    assert watching.assess(10.0).datacenters == ()


def test_configuration_names_its_faults() -> None:
    with pytest.raises(ValueError, match="window_seconds, flaps"):
        CorrelationConfig(window_seconds=0, flaps=0)
