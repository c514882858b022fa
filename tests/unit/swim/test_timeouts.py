from __future__ import annotations

import random

import pytest

from hyperscale.swim import MemberState, Role, SwimConfig
from hyperscale.swim.awareness import Awareness
from hyperscale.swim.coordinates import Coordinate, CoordinateConfig, NetworkCoordinates
from hyperscale.swim.members import MemberRecord
from hyperscale.swim.timeouts import Timeouts, distance_factor, push_pull_seconds
from tests.support.swim_network import Network, identity
from tests.support.swim_puppet import Puppet, message


@pytest.mark.parametrize(
    ("rtt", "quality", "factor"),
    [
        (0.0, 1.0, 1.0),
        (0.01, 1.0, 1.0),
        (0.05, 1.0, 5.0),
        (0.3, 1.0, 10.0),
        (0.01, 0.0, 1.5),
        (0.05, 0.5, 6.25),
        (9.0, 0.0, 15.0),
    ],
)
def test_distance_and_doubt_stretch(rtt: float, quality: float, factor: float) -> None:
    assert distance_factor(rtt, quality) == pytest.approx(factor)


@pytest.mark.parametrize(
    ("members", "seconds"), [(1, 30), (32, 30), (33, 60), (64, 60), (65, 90), (128, 90), (129, 120), (1000, 180)]
)
def test_tables_are_exchanged_less_often_in_large_groups(members: int, seconds: float) -> None:
    assert push_pull_seconds(30, members) == seconds


def peer(load: float = 1.0) -> MemberRecord:
    return MemberRecord(identity("far"), MemberState.ALIVE, 1, 0.0, load=load)


def known(rtt_seconds: float) -> NetworkCoordinates:
    """Coordinates that know the peer `far` well."""
    coordinates = NetworkCoordinates(CoordinateConfig(), random.Random(1))
    there = NetworkCoordinates(CoordinateConfig(), random.Random(2))
    for step in range(200):
        coordinates.observe("far", there.coordinate, rtt_seconds, step)
        there.observe("me", coordinates.coordinate, rtt_seconds, step)
    return coordinates


@pytest.mark.requirement("AD-35.3")
def test_timeouts_follow_distance_confidence_load_and_health() -> None:
    config, unwell = SwimConfig(), Awareness(8)
    unwell.probe_failed(2, 0)
    plain = Timeouts(config, Awareness(8), None)
    assert plain.probe_seconds(peer(), 200.0) == 0.4
    assert plain.suspicion_seconds(100) == (8.0, 48.0)
    assert plain.patience(peer(), 200.0) == 1.0
    assert plain.probe_seconds(peer(load=2.0), 200.0) == 0.8
    assert Timeouts(config, unwell, None).probe_seconds(peer(), 200.0) == pytest.approx(1.2)
    near, far, unsure = known(0.001), known(0.06), NetworkCoordinates(CoordinateConfig(), random.Random(1))
    for coordinates, least, most in ((near, 1.0, 1.2), (far, 5.5, 8.0), (unsure, 1.49, 1.51)):
        timeouts = Timeouts(config, Awareness(8), coordinates)
        factor = timeouts.probe_seconds(peer(), 200.0) / 0.4
        assert least <= factor <= most
        assert timeouts.patience(peer(), 200.0) == pytest.approx(factor)
    fixed = Timeouts(SwimConfig(adaptive_timeouts=False), Awareness(8), far)
    assert fixed.probe_seconds(peer(load=4.0), 200.0) == 0.4


def test_what_a_peer_says_of_its_load_is_bounded() -> None:
    puppet = Puppet()
    who = identity("p0")
    for load in (1.0, 400.0):
        puppet.receive(message(who, load=load), who.address)
        puppet.run(30)
    waits = [when for when, _ in puppet.bodies("ping", "p0")]
    assert waits
    with pytest.raises(ValueError, match="load factor"):
        puppet.node.set_load(5.0)


def test_a_loaded_node_is_given_longer() -> None:
    def seconds_until_suspected(load: float) -> float:
        network = Network(SwimConfig(stream_probe=False))
        network.group(3)
        network.nodes["n2"].set_load(load)
        network.run(10)
        start = network.now
        network.cut(["n2"], ["n0", "n1"])
        network.run_until(lambda: network.sees("n0", ["n2"], MemberState.DEAD), 120)
        return network.now - start

    assert seconds_until_suspected(4.0) > 2.5 * seconds_until_suspected(1.0)


@pytest.mark.parametrize("role", [Role.GATE, Role.MANAGER])
def test_a_member_says_where_it_is(role: Role) -> None:
    puppet = Puppet(role, coordinates=known(0.01))
    puppet.pinged_by("p0")
    (_, answer) = puppet.bodies("ack", "p0")[0]
    assert len(answer.ack.coordinate.vector) == 8
    own = puppet.node.member("me")
    assert own is not None
    assert isinstance(own.coordinate, Coordinate)
