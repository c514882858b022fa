from __future__ import annotations

import math
import random
import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.swim.coordinates import Coordinate, CoordinateConfig, CoordinateRefusal, NetworkCoordinates
from hyperscale.swim.simulator import topology
from hyperscale.swim.simulator.embedding import Embedding
from hyperscale.swim.simulator.topology import RttMatrix

SEEDS = range(3)
ALL_SEEDS = range(50)
GROUND_TRUTHS = [
    pytest.param(topology.line(), 0.0021, id="line"),
    pytest.param(topology.grid(), 0.0014, id="grid"),
    pytest.param(topology.split(), 0.00006, id="split"),
]


def median_of_mean_errors(truth: RttMatrix, cycles: int, seeds: range) -> float:
    return statistics.median(statistics.fmean(embedded(truth, cycles, seed).relative_errors(truth)) for seed in seeds)


def embedded(truth: RttMatrix, cycles: int, seed: int, config: CoordinateConfig | None = None) -> Embedding:
    embedding = Embedding(len(truth), random.Random(seed), config)
    embedding.run(truth, cycles)
    return embedding


def node(seed: int = 1, **changes: Any) -> NetworkCoordinates:
    return NetworkCoordinates(CoordinateConfig(**changes), random.Random(seed))


def place(*vector: float, height: float = 1e-5, error: float = 0.1, adjustment: float = 0.0) -> Coordinate:
    return Coordinate((*vector, *(0.0,) * (8 - len(vector))), height, error, adjustment)


@pytest.mark.requirement("AD-35.1")
@pytest.mark.parametrize(("truth", "limit"), GROUND_TRUTHS)
def test_known_networks_are_found(truth: RttMatrix, limit: float) -> None:
    assert median_of_mean_errors(truth, 1000, SEEDS) <= limit


@pytest.mark.soak
@pytest.mark.parametrize(("truth", "limit"), GROUND_TRUTHS)
def test_known_networks_are_found_with_every_seed(truth: RttMatrix, limit: float) -> None:
    assert median_of_mean_errors(truth, 1000, ALL_SEEDS) <= limit


@pytest.mark.requirement("AD-35.1")
def test_a_slow_access_link_becomes_height() -> None:
    truth = topology.circle(radius_seconds=0.1)
    embedding = embedded(truth, 1000, seed=1, config=CoordinateConfig(dimensions=2))
    middle, *others = (node.coordinate.height_seconds for node in embedding.nodes)
    assert middle >= 0.097
    assert max(others) <= 0.005
    assert statistics.fmean(embedding.relative_errors(truth)) <= 0.006


@pytest.mark.requirement("AD-35.1")
def test_round_trips_that_no_space_has_are_approximated() -> None:
    truth = topology.scattered(random.Random(1))
    errors = embedded(truth, 500, seed=1).relative_errors(truth)
    assert statistics.fmean(errors) <= 0.075
    assert max(errors) <= 0.33


@pytest.mark.requirement("AD-35.1")
def test_a_node_that_moves_is_followed() -> None:
    before = topology.grid()
    after = topology.moved(before, node=3, more_seconds=0.05)
    embedding = embedded(before, 300, seed=1)
    assert statistics.fmean(embedding.relative_errors(after)) > 0.08
    embedding.run(after, 500)
    assert statistics.fmean(embedding.relative_errors(after)) <= 0.025


@pytest.mark.requirement("AD-35.1")
def test_gravity_brings_a_drifting_cluster_back() -> None:
    truth = topology.matrix(4, lambda i, j: 0.5 * (math.sqrt(2) if (i + j) % 2 == 0 else 1))
    config = CoordinateConfig(dimensions=2, gravity_rho_seconds=15)
    embedding = embedded(truth, 300, seed=1, config=config)
    away = place(3.0, 3.0).vector[:2]
    for member in embedding.nodes:
        for _ in range(200):
            member.observe("beacon", Coordinate(away, 1e-5, 0.01), 0.3, 0.0)
    embedding.run(truth, 300)
    baseline = centre(embedding)
    embedding.run(truth, 3000)
    assert centre(embedding) <= 0.8 * baseline


def centre(embedding: Embedding) -> float:
    return math.hypot(
        *(statistics.fmean(axis) for axis in zip(*(n.coordinate.vector for n in embedding.nodes), strict=True))
    )


@pytest.mark.requirement("AD-35.1")
def test_coincident_nodes_part_in_every_dimension() -> None:
    one, other = node(1), node(2)
    one.observe("other", other.coordinate, 0.1, 0.0)
    assert all(abs(component) > 1e-6 for component in one.coordinate.vector)
    assert one.coordinate.raw_distance_to(other.coordinate) > 0.01


@pytest.mark.parametrize(
    ("coordinate", "rtt", "reason"),
    [
        (Coordinate((0.0,) * 7, 1e-5, 0.1), 0.1, CoordinateRefusal.WRONG_DIMENSION),
        (Coordinate((), 1e-5, 0.1), 0.1, CoordinateRefusal.WRONG_DIMENSION),
        (place(math.nan), 0.1, CoordinateRefusal.NOT_FINITE),
        (place(math.inf), 0.1, CoordinateRefusal.NOT_FINITE),
        (place(height=math.nan), 0.1, CoordinateRefusal.NOT_FINITE),
        (place(error=math.inf), 0.1, CoordinateRefusal.NOT_FINITE),
        (place(adjustment=-math.inf), 0.1, CoordinateRefusal.NOT_FINITE),
        (place(height=-0.001), 0.1, CoordinateRefusal.NEGATIVE),
        (place(error=-0.001), 0.1, CoordinateRefusal.NEGATIVE),
        (place(1e9), 0.1, CoordinateRefusal.ABSURD),
        (place(height=11.0), 0.1, CoordinateRefusal.ABSURD),
        (place(error=1e12), 0.1, CoordinateRefusal.ABSURD),
        (place(adjustment=-11.0), 0.1, CoordinateRefusal.ABSURD),
        (place(), math.nan, CoordinateRefusal.RTT_NOT_FINITE),
        (place(), math.inf, CoordinateRefusal.RTT_NOT_FINITE),
        (place(), -0.001, CoordinateRefusal.RTT_OUT_OF_RANGE),
        (place(), 10.001, CoordinateRefusal.RTT_OUT_OF_RANGE),
    ],
)
@pytest.mark.requirement("AD-35.1")
def test_bad_coordinates_change_nothing(coordinate: Coordinate, rtt: float, reason: CoordinateRefusal) -> None:
    here = node()
    here.observe("good", place(0.05), 0.06, 0.0)
    before, expected = here.coordinate, here.estimate("good", 0.0)
    assert here.observe("good", coordinate, rtt, 1.0) is reason
    assert here.coordinate == before
    assert here.estimate("good", 0.0) == expected
    assert here.refusals == {reason: 1}


def test_a_coordinate_heard_of_is_held_to_the_same_rules() -> None:
    here = node()
    assert here.learn("peer", place(math.nan), 0.0) is CoordinateRefusal.NOT_FINITE
    assert here.learn("peer", place(0.05), 0.0) is None
    assert here.estimate("peer", 0.0).expected_seconds == pytest.approx(0.05, rel=0.01)


@given(
    samples=st.lists(
        st.tuples(st.floats(-10, 10), st.floats(0, 10), st.floats(0, 10), st.floats(-10, 10), st.floats(0, 10)),
        max_size=40,
    )
)
def test_whatever_passes_leaves_a_usable_coordinate(samples: list[tuple[float, float, float, float, float]]) -> None:
    here = node()
    for number, (component, height, error, adjustment, rtt) in enumerate(samples):
        hostile = Coordinate((component,) * 8, height, error, adjustment)
        assert here.observe(str(number % 3), hostile, rtt, float(number)) is None
        assert here.coordinate.fault(8) is None
        bound = here.estimate(str(number % 3), float(number))
        assert 0 <= bound.expected_seconds <= bound.upper_bound_seconds + 50
        assert 0 <= bound.quality <= 1


def test_a_coordinate_driven_out_of_range_starts_anew_and_is_counted() -> None:
    here = node(position_gain=1.0)
    far = place(10.0, height=10.0, error=1e-6)
    for _ in range(2000):
        here.observe("far", far, 0.0, 0.0)
        if here.resets:
            break
    assert here.resets == 1
    assert here.coordinate.vector == (0.0,) * 8
    assert here.coordinate.error == 1.5


def test_one_late_answer_moves_nothing() -> None:
    calm, spiked = node(), node()
    for here, third in ((calm, 0.05), (spiked, 5.0)):
        for rtt in (0.05, 0.05, third):
            here.observe("peer", place(0.02), rtt, 0.0)
    assert spiked.coordinate == calm.coordinate


@pytest.mark.requirement("AD-35.2")
def test_bound_and_quality_say_how_sure_an_estimate_is() -> None:
    truth = topology.grid()
    embedding = Embedding(len(truth), random.Random(1))
    embedding.run(truth, 5)
    first, early_converged = embedding.nodes[0], [node.is_converged for node in embedding.nodes]
    peer = next(str(j) for j in range(1, 25) if first.estimate(str(j), 5.0).quality > 0)
    early = first.estimate(peer, 5.0)
    embedding.run(truth, 300)
    late = first.estimate(peer, 305.0)
    assert not any(early_converged)
    assert all(node.is_converged for node in embedding.nodes)
    assert early.quality < 0.5
    assert late.quality > 0.85
    assert late.upper_bound_seconds - late.expected_seconds < early.upper_bound_seconds - early.expected_seconds
    assert truth[0][int(peer)] <= late.upper_bound_seconds <= 1.5 * truth[0][int(peer)]


@pytest.mark.requirement("AD-35.2")
def test_what_is_known_of_a_peer_loses_quality_and_expires() -> None:
    here = node()
    for second in range(40):
        here.observe("peer", place(0.05, error=0.05), 0.05, float(second))
    fresh, still, old = (here.estimate("peer", 39.0 + age) for age in (0.0, 150.0, 225.0))
    assert still.quality == fresh.quality
    assert old.quality == pytest.approx(fresh.quality / 2, rel=0.01)
    assert here.estimate("peer", 339.0).quality == 0
    here.forget("peer")
    assert here.estimate("peer", 39.0).quality == 0


def test_an_unknown_peer_is_guessed_from_what_the_node_has_seen() -> None:
    here = node()
    assert here.estimate("stranger", 0.0).upper_bound_seconds == 0.01
    for second in range(50):
        here.observe(str(second), place(0.2), 0.2 if second % 2 else 0.3, float(second))
    guess = here.estimate("stranger", 50.0)
    assert guess.expected_seconds in (0.2, 0.3)
    assert guess.upper_bound_seconds == 0.3
    assert guess.quality == 0


def test_peers_are_bounded_and_the_one_silent_for_longest_goes() -> None:
    here = node(peers_max=2)
    for second, peer in enumerate(["a", "b", "a", "c"]):
        here.observe(peer, place(0.05), 0.05, float(second))
    assert [here.estimate(peer, 4.0).quality > 0 for peer in "abc"] == [True, False, True]


@pytest.mark.requirement("AD-35.1")
def test_regions_of_a_cloud_are_told_apart() -> None:
    truth = topology.regions(per_region=2)
    errors = embedded(truth, 500, seed=1).relative_errors(truth)
    assert statistics.median(errors) <= 0.1


def test_configuration_names_all_its_faults() -> None:
    with pytest.raises(ValueError, match=r"dimensions, error_gain, sigmas"):
        CoordinateConfig(dimensions=0, error_gain=2.0, sigmas=-1.0)
