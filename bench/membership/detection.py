"""From a crash to the first node that knows it, and to the last; and what a quiet group sends, by its size."""

from __future__ import annotations

import statistics

from bench.membership.settings import MembershipSettings
from bench.rows import Bound, Row
from hyperscale.swim.simulator.options import SimulationOptions
from hyperscale.swim.simulator.simulation import Simulation

NODES = 128
_ALL_PROBED_SECONDS = 150.0
_CRASHES = 4
_BETWEEN_SECONDS = 20.0
_SIZES = (32, 128, 512, 2048)
_SETTLED_SECONDS = 5.0
_COUNTED_SECONDS = 10.0


def measure(settings: MembershipSettings) -> list[Row]:
    """Crash several nodes, one after the other, in each simulation."""
    first, everywhere = [], []
    for seed in range(settings.seeds):
        simulation = Simulation(SimulationOptions(nodes=NODES, seed=seed))
        simulation.run(_ALL_PROBED_SECONDS + seed / 7)
        for number in range(_CRASHES):
            simulation.crash(10 + 7 * number)
            simulation.run(_BETWEEN_SECONDS)
        first += [d.first_at - d.crashed_at for d in simulation.recorder.detections if d.first_at is not None]
        everywhere += [
            d.everywhere_at - d.crashed_at for d in simulation.recorder.detections if d.everywhere_at is not None
        ]
    crashes = settings.seeds * _CRASHES
    return [
        Row("crashes not known everywhere after 20 s, n = 128", crashes - len(everywhere), Bound.AT_MOST, 0),
        _median(
            "first detection, n = 128, LAN, median", first, 10.0, "published: 12.4 s with α 5, 84 % of it with α 4"
        ),
        _median("known everywhere, n = 128, LAN, median", everywhere, 11.0, "published: 12.9 s with α 5"),
    ]


def measure_load(settings: MembershipSettings) -> list[Row]:
    """Count the datagrams of a group in which nothing happens."""
    sent = {size: _datagrams_per_second(size) for size in _SIZES if size <= settings.nodes_max}
    smallest, largest = min(sent), max(sent)
    note = ", ".join(f"{size} nodes: {count:.2f}/s" for size, count in sent.items())
    growth = sent[largest] / sent[smallest]
    return [
        Row(
            f"datagrams per node, {largest} nodes / {smallest}",
            growth,
            Bound.AT_MOST,
            1.1,
            note=f"published: constant; {note}",
        )
    ]


def _datagrams_per_second(nodes: int) -> float:
    simulation = Simulation(SimulationOptions(nodes=nodes))
    simulation.run(_SETTLED_SECONDS)
    simulation.recorder.forget_traffic()
    simulation.run(_COUNTED_SECONDS)
    return sum(simulation.recorder.datagrams_sent) / nodes / _COUNTED_SECONDS


def _median(name: str, seconds: list[float], target: float, published: str) -> Row:
    spread = f"{min(seconds):.1f} to {max(seconds):.1f}"
    return Row(name, statistics.median(seconds), Bound.AT_MOST, target, "s", f"{spread}; {published}")
