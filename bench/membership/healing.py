"""How long after a partition of two minutes all members see each other alive again."""

from __future__ import annotations

import random
import statistics

from bench.membership.settings import MembershipSettings
from bench.rows import Bound, Row
from hyperscale.swim.simulator.faults import partition
from hyperscale.swim.simulator.options import SimulationOptions
from hyperscale.swim.simulator.simulation import Simulation

NODES = 50
_CUT_SECONDS = 120.0
_GIVEN_UP_SECONDS = 300.0
_SEEDS_PER_SETTING = 5


def measure(settings: MembershipSettings) -> list[Row]:
    """Cut and heal with many seeds; the slowest counts."""
    seconds = [_healed_after(seed) for seed in range(settings.seeds * _SEEDS_PER_SETTING)]
    note = f"median {statistics.median(seconds):.0f} s; published: never, without retries of the dead"
    name = f"partition of 50 nodes healed, slowest of {len(seconds)} seeds"
    return [Row(name, max(seconds), Bound.AT_MOST, 60.0, "s", note)]


def _healed_after(seed: int) -> float:
    rng = random.Random(seed)
    side = frozenset(rng.sample(range(NODES), 1 + int(rng.random() * NODES / 2)))
    faults = partition(5.0, 5.0 + _CUT_SECONDS, side, NODES)
    simulation = Simulation(SimulationOptions(nodes=NODES, seed=seed, loss=0.01, faults=faults))
    simulation.run(5.0 + _CUT_SECONDS)
    healed_at = simulation.now
    simulation.run_until(lambda: simulation.recorder.is_agreed, _GIVEN_UP_SECONDS)
    return simulation.now - healed_at
