"""The figures of every formula."""

import math

import pytest

from hyperscale.routing import capacity, observed_latency, scoring
from hyperscale.routing.models.candidates import (
    CapacityReport,
    DatacenterCapacity,
    DatacenterStaff,
    QueuedWork,
    RoundTrip,
    RunningShard,
    SloStanding,
)
from hyperscale.routing.models.config import RoutingConfig
from hyperscale.routing.models.decisions import ScoreComponents
from hyperscale.routing.observed_latency import ObservedLatency, learn

CONFIG = RoutingConfig()


@pytest.mark.parametrize(
    ("round_trip", "bound_ms"),
    [
        (None, 200.0),
        (RoundTrip(80.0, 10.0), 100.0),
        (RoundTrip(0.2), 5.0),
        (RoundTrip(9_000.0, 1_000.0), 10_000.0),
    ],
)
def test_the_upper_bound_of_a_round_trip(round_trip: RoundTrip | None, bound_ms: float) -> None:
    assert scoring.rtt_ucb_ms(round_trip, CONFIG) == bound_ms


@pytest.mark.parametrize(
    ("round_trip", "quality"),
    [
        (None, 0.0),
        (RoundTrip(1.0), 1.0),
        (RoundTrip(1.0, samples=5), 0.5),
        (RoundTrip(1.0, error=0.4), 0.5),
        (RoundTrip(1.0, age_seconds=600.0), 0.5),
        (RoundTrip(1.0, samples=5, error=0.4, age_seconds=600.0), 0.125),
        (RoundTrip(1.0, samples=1000, error=0.4), 0.5),
    ],
)
def test_quality_is_what_samples_error_and_age_leave(round_trip: RoundTrip | None, quality: float) -> None:
    assert scoring.coordinate_quality(round_trip, CONFIG) == pytest.approx(quality)


@pytest.mark.parametrize(
    ("free", "queue", "circuits", "load"),
    [(8, 0, 0, 1.0), (4, 0, 0, 1.25), (0, 0, 0, 1.5), (0, 10, 0, 1.65), (8, 0, 2, 1.4), (0, 10, 100, 5.0)],
)
def test_load_is_made_of_utilization_queue_and_circuits(free: int, queue: int, circuits: int, load: float) -> None:
    assert scoring.load_factor(DatacenterCapacity(8, free, queue), circuits) == pytest.approx(load)


def test_quality_severity_and_slo_have_their_bounds() -> None:
    assert [scoring.quality_factor(quality) for quality in (1.0, 0.5, 0.0)] == [1.0, 1.25, 1.5]
    assert scoring.severity_factor(DatacenterStaff()) == 1.0
    assert scoring.severity_factor(DatacenterStaff(workers=4, overloaded_workers=2)) == 1.25
    assert scoring.severity_factor(DatacenterStaff(managers=3, overloaded_managers=3)) == 1.5
    assert scoring.slo_factor(None) == 1.0
    assert scoring.slo_factor(SloStanding(100.0, 225.0, 0.0, 0.0)) == 1.5
    assert scoring.slo_factor(SloStanding(100.0, 0.0, 900.0, 0.0)) == 2.0


def test_a_score_is_the_product_of_its_components() -> None:
    assert ScoreComponents(100.0, 1.25, 1.5, 0.9, 1.5, 1.2, 2.0).score == pytest.approx(607.5)


@pytest.mark.requirement("AD-45.1")
def test_observed_latency_is_learnt_blended_by_confidence_and_fades() -> None:
    known: ObservedLatency | None = None
    for sample_ms in (100.0, 200.0):
        known = learn(known, sample_ms, 0.0)
    assert known is not None
    assert known.samples == 2
    assert known.mean_ms == pytest.approx(120.0)
    full = ObservedLatency(50.0, 10, 0.0)
    assert observed_latency.confidence(known, 0.0, 300.0) == pytest.approx(0.2)
    assert observed_latency.blended_ms(known, 220.0, 0.0, 300.0) == pytest.approx(0.2 * 120 + 0.8 * 220)
    assert [observed_latency.blended_ms(full, 100.0, at, 300.0) for at in (0.0, 150.0, 300.0, 900.0)] == [
        50.0,
        75.0,
        100.0,
        100.0,
    ]
    assert observed_latency.blended_ms(learn(None, 1e9, 0.0), 1e9, 0.0, 300.0) == 60_000.0


@pytest.mark.parametrize(
    ("cores", "queued", "wait"),
    [
        (2, (), 0.0),
        (3, (), 10.0),
        (6, (), 30.0),
        (7, (), 60.0),
        (9, (), math.inf),
        (3, (QueuedWork(4, 20.0),), 10.0 + 4 * 20.0 / 8),
        (1, (QueuedWork(8, 40.0), QueuedWork(4, 20.0)), 50.0),
    ],
)
def test_the_wait_for_cores_is_estimated_from_running_and_queued_work(
    cores: int, queued: tuple[QueuedWork, ...], wait: float
) -> None:
    running = (RunningShard(2, 60.0), RunningShard(1, 10.0), RunningShard(3, 30.0))
    assert capacity.wait_seconds(DatacenterCapacity(8, 2, 0, running, queued), cores) == wait


def test_what_cannot_start_now_has_a_wait() -> None:
    assert capacity.wait_seconds(DatacenterCapacity(8, 2, queue=1), 1) > 0.0
    assert capacity.wait_seconds(DatacenterCapacity(8, 0, running=(RunningShard(1, 0.0),)), 1) > 0.0


def test_running_work_has_gone_on_since_it_was_told() -> None:
    told = DatacenterCapacity(8, 0, running=(RunningShard(8, 30.0),), queued=(QueuedWork(8, 5.0),), age_seconds=20.0)
    assert capacity.wait_seconds(told, 1) == 10.0 + 5.0


def test_capacity_is_the_word_of_the_leader_and_goes_stale() -> None:
    def report(leads: bool, term: int, age: float, free: int) -> CapacityReport:
        return CapacityReport("m", leads, term, age, DatacenterCapacity(8, free))

    reports = [report(False, 0, 0.1, 1), report(True, 4, 1.0, 2), report(True, 5, 2.0, 3)]
    found = capacity.aggregated(reports, 10.0)
    assert found is not None
    assert found.capacity.free_cores == 3
    followers = capacity.aggregated([report(True, 5, 11.0, 3), report(False, 0, 2.0, 1), report(False, 0, 1.0, 2)], 10)
    assert followers is not None
    assert followers.capacity.free_cores == 2
    assert capacity.aggregated([report(True, 5, 11.0, 3)], 10.0) is None


def test_limits_below_zero_are_refused_all_at_once() -> None:
    with pytest.raises(ValueError, match="hold_seconds, excess_ratio"):
        RoutingConfig(hold_seconds=-1, excess_ratio=float("nan"))
