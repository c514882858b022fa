"""Healthy nodes declared dead while the messages of others are held up now and then: plain SWIM beside Lifeguard, in the same simulations."""

from __future__ import annotations

from dataclasses import dataclass

from bench.membership.settings import MembershipSettings
from bench.rows import Bound, Row
from hyperscale.swim.config import SwimConfig
from hyperscale.swim.simulator.faults import blocked_cycles
from hyperscale.swim.simulator.options import SimulationOptions
from hyperscale.swim.simulator.simulation import Simulation

NODES = 128
SLOW = frozenset(range(0, NODES, 8))
CYCLES = ((2.048, 0.064), (16.384, 0.064), (8.192, 1.024))
"""Seconds for which the messages of the slow nodes wait, and pass, in turns."""
_QUIET_SECONDS = 15.0
_FAULTY_SECONDS = 60.0
_AFTER_SECONDS = 30.0

LIFEGUARD = SwimConfig(suspicion_multiplier=5.0)
PLAIN = SwimConfig(
    suspicion_multiplier=5.0,
    suspicion_confirmations=False,
    awareness_max=1,
    buddy=False,
    nacks=False,
    adaptive_timeouts=False,
)


@dataclass(slots=True)
class _Count:
    anywhere: int = 0
    at_healthy: int = 0
    datagrams: int = 0
    bytes: int = 0

    def add(self, simulation: Simulation) -> None:
        recorder = simulation.recorder
        false = [died for died in recorder.false_positives if died.node not in SLOW]
        self.anywhere += len(false)
        self.at_healthy += sum(died.observer not in SLOW for died in false)
        self.datagrams += sum(recorder.datagrams_sent)
        self.bytes += sum(recorder.bytes_sent)


def measure(settings: MembershipSettings) -> list[Row]:
    """Run every cycle with both configurations."""
    plain, lifeguard = _Count(), _Count()
    for seed in range(max(1, settings.seeds // 2)):
        for blocked, free in CYCLES:
            for count, config, has_coordinates in ((plain, PLAIN, False), (lifeguard, LIFEGUARD, True)):
                count.add(_simulate(config, seed, blocked, free, has_coordinates=has_coordinates))
    return [
        _row("anywhere", lifeguard.anywhere, plain.anywhere, 2.0, "1.53"),
        _row("at healthy nodes", lifeguard.at_healthy, plain.at_healthy, 2.0, "1.89"),
        _share("messages / plain SWIM, 16 of 128 slow", lifeguard.datagrams, plain.datagrams, 115.0, "110.59"),
        _share("bytes / plain SWIM, 16 of 128 slow", lifeguard.bytes, plain.bytes, 115.0, "97.97, without coordinates"),
    ]


def _simulate(config: SwimConfig, seed: int, blocked: float, free: float, *, has_coordinates: bool) -> Simulation:
    faults = blocked_cycles(SLOW, _QUIET_SECONDS, _QUIET_SECONDS + _FAULTY_SECONDS, blocked, free)
    options = SimulationOptions(nodes=NODES, seed=seed, config=config, faults=faults, has_coordinates=has_coordinates)
    simulation = Simulation(options)
    simulation.run(_QUIET_SECONDS + _FAULTY_SECONDS + _AFTER_SECONDS)
    return simulation


def _row(where: str, lifeguard: int, plain: int, target: float, published: str) -> Row:
    row = _share(f"false positives {where} / plain SWIM, 16 of 128 slow", lifeguard, plain, target, published)
    return Row(row.name, row.measured, row.bound, row.target, row.unit, f"{lifeguard} of {plain}; {row.note}")


def _share(name: str, lifeguard: int, plain: int, target: float, published: str) -> Row:
    measured = 100 * lifeguard / plain if plain else float("inf")
    return Row(name, measured, Bound.AT_MOST, target, "%", f"published: {published} %")
