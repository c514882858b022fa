from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from hyperscale.swim.config import SwimConfig
from hyperscale.swim.models import MemberState
from hyperscale.swim.simulator import topology
from hyperscale.swim.simulator.faults import FaultKind, NetworkFault, blocked_cycles
from hyperscale.swim.simulator.network import SimulatedNetwork
from hyperscale.swim.simulator.options import SimulationOptions, Start, random_options
from hyperscale.swim.simulator.simulation import Simulation

TRACE = """
import random
from hyperscale.swim.simulator.options import random_options
from hyperscale.swim.simulator.simulation import Simulation
simulation = Simulation(random_options(random.Random(7), 7, nodes=20, faulty_seconds=30))
simulation.run(40)
print(simulation.trace)
"""


def simulate(seconds: float, **options: object) -> Simulation:
    simulation = Simulation(SimulationOptions(**options))  # type: ignore[arg-type]
    simulation.run(seconds)
    return simulation


def only(kind: FaultKind, at: float, until: float, *nodes: int, **more: object) -> tuple[NetworkFault, ...]:
    return (NetworkFault(kind, at, frozenset(nodes), until, **more),)  # type: ignore[arg-type]


def test_a_seed_gives_the_same_messages_in_every_process() -> None:
    def trace(hash_seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        return subprocess.run(
            [sys.executable, "-c", TRACE], env=environment, check=True, capture_output=True, text=True
        ).stdout

    assert trace("1") == trace("2") != "0\n"


def test_another_seed_gives_another_simulation() -> None:
    traces = {simulate(5, nodes=10, seed=seed).trace for seed in (1, 1, 2)}
    assert len(traces) == 2


def test_nodes_find_each_other_through_seeds() -> None:
    simulation = Simulation(SimulationOptions(nodes=30, start=Start.SEEDS, is_encrypted=True))
    assert not simulation.recorder.is_agreed
    assert simulation.run_until(lambda: simulation.recorder.is_agreed, 30)


def test_a_crash_is_detected_by_all_and_nobody_else_is_accused() -> None:
    simulation = simulate(30, nodes=32)
    simulation.crash(5)
    (detection,) = simulation.recorder.detections
    assert simulation.run_until(lambda: detection.everywhere_at is not None, 20)
    assert detection.first_at is not None
    assert detection.everywhere_at is not None
    assert 4 <= detection.first_at - detection.crashed_at <= 12
    assert detection.first_at <= detection.everywhere_at <= detection.first_at + 3
    assert simulation.recorder.is_agreed
    assert not simulation.recorder.false_positives


@pytest.mark.parametrize("seed", range(4))
def test_a_node_of_two_is_given_up_as_soon_as_one_of_many(seed: int) -> None:
    """Nobody can confirm its suspicion; that the only other node doubts itself for the same silence must not delay it."""
    simulation = simulate(20, nodes=2, seed=seed, config=SwimConfig.local())
    simulation.crash(1)
    assert simulation.run_until(lambda: simulation.recorder.is_agreed, 6)


def test_a_restarted_node_is_a_member_again() -> None:
    simulation = simulate(60, nodes=10, faults=only(FaultKind.CRASH, 5.0, 30.0, 3))
    assert simulation.recorder.is_agreed
    assert simulation.nodes[3].swim.incarnation > 1


def test_a_node_that_leaves_is_no_detection() -> None:
    simulation = simulate(5, nodes=10)
    simulation.leave(4)
    assert simulation.run_until(lambda: simulation.recorder.is_agreed, 5)
    member = simulation.nodes[0].swim.member("n4")
    assert member is not None
    assert member.state is MemberState.LEFT
    assert not simulation.recorder.detections


def test_workers_are_watched_by_their_managers() -> None:
    simulation = simulate(30, nodes=20, managers=3)
    simulation.crash(15)
    assert simulation.run_until(lambda: simulation.recorder.is_agreed, 20)


def test_a_paused_node_is_declared_dead_and_comes_back() -> None:
    simulation = simulate(60, nodes=16, faults=only(FaultKind.PAUSE, 5.0, 50.0, 2))
    assert {died.node for died in simulation.recorder.false_positives} >= {2}
    assert simulation.run_until(lambda: simulation.recorder.is_agreed, 60)


def test_a_blocked_nodes_messages_arrive_in_the_end() -> None:
    blocked = simulate(10, nodes=8, faults=only(FaultKind.BLOCK, 4.0, 10.5, 2))
    assert blocked.nodes[2].unsent
    assert blocked.nodes[2].backlog
    sent = blocked.recorder.datagrams_sent[2]
    blocked.run(1)
    assert not blocked.nodes[2].unsent
    assert blocked.recorder.datagrams_sent[2] > sent + 6
    assert blocked.run_until(lambda: blocked.recorder.is_agreed, 60)


def test_nodes_that_stand_still_for_moments_are_forgiven() -> None:
    faults = blocked_cycles(frozenset({1, 2}), start=2.0, end=40.0, blocked_seconds=1.0, free_seconds=1.0)
    assert len(faults) == 19
    assert not simulate(45, nodes=16, faults=faults).recorder.false_positives


def test_a_slow_node_is_only_farther_away() -> None:
    simulation = simulate(60, nodes=10, faults=only(FaultKind.SLOW, 0.0, 1000.0, 4, amount=0.05))
    assert simulation.recorder.is_agreed
    assert not simulation.recorder.false_positives


def test_a_one_way_cut_is_bridged_by_others() -> None:
    faults = only(FaultKind.CUT, 5.0, 1000.0, 1, others=frozenset({2}))
    simulation = simulate(90, nodes=10, faults=faults)
    assert not simulation.recorder.false_positives


def network(**options: object) -> SimulatedNetwork:
    return SimulatedNetwork(SimulationOptions(nodes=4, **options), random.Random(1))  # type: ignore[arg-type]


def test_the_network_loses_doubles_and_holds_back() -> None:
    assert {len(network(loss=1.0).delays(0, 1)), len(network(duplication=1.0).delays(0, 1))} == {0, 2}
    usual = network(jitter=0.0, rtt=topology.line(4)).delays(0, 3)
    assert usual == (0.015,)
    held = [network(jitter=0.0, reordering=1.0, reordering_seconds=1.0).latency(0, 1) for _ in range(3)]
    assert all(0.0005 < latency <= 1.0005 for latency in held)


def test_a_cut_has_a_direction() -> None:
    between = network()
    between.cut(frozenset({0}), frozenset({1}))
    assert (between.is_cut(0, 1), between.is_cut(1, 0), between.is_cut(0, 2)) == (True, False, False)
    assert between.delays(0, 1) == ()
    between.mend(frozenset({0}), frozenset({1}))
    assert len(between.delays(0, 1)) == 1


def test_a_nodes_losses_end_with_the_fault() -> None:
    between = network(loss=0.0)
    between.lose(1, 1.0)
    assert between.delays(0, 1) == between.delays(1, 0) == ()
    assert len(between.delays(0, 2)) == 1
    between.lose(1, 0.5)
    between.spare(1, 0.5)
    assert between.delays(0, 1) == ()
    between.spare(1, 1.0)
    assert len(between.delays(0, 1)) == 1


@pytest.mark.parametrize("kind", [FaultKind.PAUSE, FaultKind.BLOCK])
def test_a_fault_lasts_as_long_as_it_says_though_another_one_ends_within_it(kind: FaultKind) -> None:
    faults = only(kind, 1.0, 100.0, 2) + only(kind, 2.0, 3.0, 2)
    simulation = simulate(60, nodes=16, faults=faults)
    assert {died.node for died in simulation.recorder.false_positives} >= {2}


def test_a_crash_is_known_everywhere_also_when_the_last_one_to_know_crashes() -> None:
    simulation = simulate(5, nodes=2)
    simulation.crash(0)
    simulation.crash(1)
    assert simulation.recorder.detections[0].everywhere_at == simulation.now


def test_nodes_that_are_down_have_no_coordinates() -> None:
    simulation = simulate(5, nodes=4, rtt=topology.line(4))
    simulation.crash(1)
    assert len(simulation.coordinate_errors()) == 3


def test_coordinates_are_found_in_passing() -> None:
    truth = topology.regions(per_region=2)
    simulation = simulate(300, nodes=len(truth), rtt=truth, jitter=0.0)
    errors = simulation.coordinate_errors()
    assert sorted(errors)[len(errors) // 2] < 0.15


def test_traffic_is_counted_per_node() -> None:
    simulation = simulate(10, nodes=10)
    recorder = simulation.recorder
    assert all(10 <= sent <= 100 for sent in recorder.datagrams_sent)
    assert all(sent > 1000 for sent in recorder.bytes_sent)
    recorder.forget_traffic()
    assert sum(recorder.datagrams_sent) == sum(recorder.bytes_sent) == recorder.streams_opened == 0


def test_random_options_depend_on_their_seed_only() -> None:
    assert random_options(random.Random(3), 3) == random_options(random.Random(3), 3)
    assert random_options(random.Random(3), 3) != random_options(random.Random(4), 4)
    kinds = {fault.kind for seed in range(20) for fault in random_options(random.Random(seed), seed).faults}
    assert kinds == set(FaultKind)


def test_options_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="shares of 0 to 1"):
        SimulationOptions(loss=1.5)
    with pytest.raises(ValueError, match="10 nodes given for 5"):
        SimulationOptions(nodes=5, rtt=topology.line(10))
