"""Coordinates found from a known network, and how far they are from it."""

from __future__ import annotations

from collections.abc import Sequence

from hyperscale.swim.coordinates import Coordinate, CoordinateConfig, NetworkCoordinates
from hyperscale.swim.ports import RandomSource
from hyperscale.swim.simulator.topology import RttMatrix


def relative_errors(places: Sequence[tuple[int, Coordinate]], truth: RttMatrix) -> list[float]:
    """Of each two nodes, given with their numbers: |predicted − true round trip| / true."""
    return [
        abs(here.distance_to(there) - truth[i][j]) / truth[i][j] for i, here in places for j, there in places if i < j
    ]


class Embedding:
    """Nodes that measure the round trip to one random other node in each cycle.

    Parameters
    ----------
    jitter
        Deviation of what is added to each measured round trip, as a share of it: queues only ever delay.
    """

    def __init__(
        self, nodes: int, rng: RandomSource, config: CoordinateConfig | None = None, jitter: float = 0.0
    ) -> None:
        self._rng = rng
        self._jitter = jitter
        self._cycle = 0
        self.nodes = [NetworkCoordinates(config or CoordinateConfig(), rng) for _ in range(nodes)]

    def run(self, truth: RttMatrix, cycles: int) -> None:
        """Let so many cycles pass."""
        count = len(self.nodes)
        for _ in range(cycles):
            self._cycle += 1
            for i, node in enumerate(self.nodes):
                j = int(self._rng.random() * count)
                if i != j:
                    node.observe(str(j), self.nodes[j].coordinate, self._measured(truth[i][j]), self._cycle)

    def relative_errors(self, truth: RttMatrix) -> list[float]:
        """Of each two nodes: |predicted − true| / true."""
        return relative_errors([(number, node.coordinate) for number, node in enumerate(self.nodes)], truth)

    def _measured(self, rtt_seconds: float) -> float:
        if not self._jitter:
            return rtt_seconds
        return rtt_seconds * (1 + abs(self._rng.gauss(0.0, self._jitter)))
