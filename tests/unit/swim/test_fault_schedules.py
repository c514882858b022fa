"""Random faults in random networks. Each seed is a test of its own: the id of a failed one is what runs it again."""

from __future__ import annotations

import random

import pytest

from hyperscale.swim.simulator.faults import partition
from hyperscale.swim.simulator.options import SimulationOptions, random_options
from hyperscale.swim.simulator.simulation import Simulation

FAULTY_SECONDS = 60.0
SETTLING_SECONDS = 120.0
HEALING_SECONDS = 60.0


def seeds(total: int, in_every_run: int) -> list[object]:
    return [
        pytest.param(seed, id=f"seed{seed}", marks=() if seed < in_every_run else pytest.mark.soak)
        for seed in range(total)
    ]


def again(test: str, seed: int) -> str:
    return f'python -m pytest "tests/unit/swim/test_fault_schedules.py::{test}[seed{seed}]"'


@pytest.mark.parametrize("seed", seeds(200, in_every_run=8))
def test_a_group_agrees_on_the_truth_once_the_faults_are_over(seed: int) -> None:
    simulation = Simulation(random_options(random.Random(seed), seed, nodes=50, faulty_seconds=FAULTY_SECONDS))
    simulation.run(FAULTY_SECONDS)
    is_agreed = simulation.run_until(lambda: simulation.recorder.is_agreed, SETTLING_SECONDS)
    command = again("test_a_group_agrees_on_the_truth_once_the_faults_are_over", seed)
    assert is_agreed, f"{simulation.recorder.disagreements()[:10]}; again: {command}"


@pytest.mark.parametrize("seed", seeds(50, in_every_run=3))
def test_a_healed_partition_merges_within_a_minute(seed: int) -> None:
    nodes, cut_seconds = 50, 120.0
    rng = random.Random(seed)
    side = frozenset(rng.sample(range(nodes), 1 + int(rng.random() * nodes / 2)))
    faults = partition(5.0, 5.0 + cut_seconds, side, nodes)
    simulation = Simulation(SimulationOptions(nodes=nodes, seed=seed, loss=0.01, faults=faults))
    simulation.run(5.0 + cut_seconds)
    given_up = {(died.observer in side) != (died.node in side) for died in simulation.recorder.false_positives}
    assert given_up == {True}, "across the cut, and only there, nodes give each other up"
    is_healed = simulation.run_until(lambda: simulation.recorder.is_agreed, HEALING_SECONDS)
    command = again("test_a_healed_partition_merges_within_a_minute", seed)
    assert is_healed, f"{simulation.recorder.disagreements()[:10]}; again: {command}"
