"""How well coordinates predict round trips: networks whose answer is known, and the regions of a cloud."""

from __future__ import annotations

import random
import statistics

from bench.membership.settings import MembershipSettings
from bench.rows import Bound, Row
from hyperscale.swim.simulator import topology
from hyperscale.swim.simulator.embedding import Embedding
from hyperscale.swim.simulator.topology import RttMatrix

_CYCLES = 1000
_SAMPLES = 50
_SEEDS_PER_SETTING = 10


def measure(settings: MembershipSettings) -> list[Row]:
    """Embed each network with as many seeds as time allows."""
    seeds = range(settings.seeds * _SEEDS_PER_SETTING)
    truths = (
        ("line", topology.line(), 0.0021, "0.00215"),
        ("grid", topology.grid(), 0.0014, "0.00142"),
        ("split", topology.split(), 0.00006, "0.000055"),
    )
    return [_known(name, truth, limit, f"serf: {serf}", seeds) for name, truth, limit, serf in truths] + [
        _regions(per_region, seeds) for per_region in (1, 4)
    ]


def _known(name: str, truth: RttMatrix, limit: float, published: str, seeds: range) -> Row:
    errors = [statistics.fmean(_embedded(truth, _CYCLES, seed).relative_errors(truth)) for seed in seeds]
    note = f"worst of {len(seeds)} seeds {max(errors):.2g}; {published}"
    return Row(f"Vivaldi, {name}: mean relative error", statistics.median(errors), Bound.AT_MOST, limit, note=note)


def _regions(per_region: int, seeds: range) -> Row:
    truth = topology.regions(per_region)
    medians, settled = [], []
    for seed in seeds[::_SEEDS_PER_SETTING]:
        embedding = _embedded(truth, _SAMPLES, seed)
        medians.append(statistics.median(embedding.relative_errors(truth)))
        embedding.run(truth, _CYCLES - _SAMPLES)
        settled.append(statistics.median(embedding.relative_errors(truth)))
    name = f"Vivaldi, {len(truth)} nodes in 11 regions, {_SAMPLES} samples: median error"
    note = f"after {_CYCLES}: {100 * statistics.median(settled):.1f} %; published: 11 % (King), settled"
    return Row(name, 100 * statistics.median(medians), Bound.AT_MOST, 10.0, "%", note)


def _embedded(truth: RttMatrix, cycles: int, seed: int) -> Embedding:
    embedding = Embedding(len(truth), random.Random(seed))
    embedding.run(truth, cycles)
    return embedding
