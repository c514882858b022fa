"""The network between simulated nodes: how long things take, and what does not arrive."""

from __future__ import annotations

from hyperscale.swim.ports import RandomSource
from hyperscale.swim.simulator.options import SimulationOptions
from hyperscale.swim.simulator.topology import RttMatrix, uniform

_USUAL_RTT_SECONDS = 0.001


class SimulatedNetwork:
    """Latency, loss, duplication, reordering and cuts between nodes by number."""

    def __init__(self, options: SimulationOptions, rng: RandomSource) -> None:
        self._options = options
        self._random = rng.random
        self._rtt: RttMatrix = options.rtt or uniform(options.nodes, _USUAL_RTT_SECONDS)
        self._slowness = [0.0] * options.nodes
        self._losses: list[list[float]] = [[options.loss] for _ in range(options.nodes)]
        self._loss = [options.loss] * options.nodes
        self._cuts: list[tuple[frozenset[int], frozenset[int]]] = []

    def slow_down(self, node: int, seconds: float) -> None:
        """Change by how much longer everything to and from a node takes."""
        self._slowness[node] = max(0.0, self._slowness[node] + seconds)

    def lose(self, node: int, share: float) -> None:
        """Lose such a share of a node's datagrams, unless more is lost already."""
        self._losses[node].append(share)
        self._loss[node] = max(self._losses[node])

    def spare(self, node: int, share: float) -> None:
        """Take back a loss; others of the node go on."""
        self._losses[node].remove(share)
        self._loss[node] = max(self._losses[node])

    def cut(self, sources: frozenset[int], targets: frozenset[int]) -> None:
        """Let nothing pass any more."""
        self._cuts.append((sources, targets))

    def mend(self, sources: frozenset[int], targets: frozenset[int]) -> None:
        """Take back a cut."""
        self._cuts.remove((sources, targets))

    def is_cut(self, source: int, target: int) -> bool:
        """Whether nothing passes from one node to another."""
        return any(source in sources and target in targets for sources, targets in self._cuts)

    def delays(self, source: int, target: int) -> tuple[float, ...]:
        """After which times a datagram sent now arrives: not at all, once or twice."""
        if self._cuts and self.is_cut(source, target):
            return ()
        loss = max(self._loss[source], self._loss[target])
        if loss and self._random() < loss:
            return ()
        if self._options.duplication and self._random() < self._options.duplication:
            return (self.latency(source, target), self.latency(source, target))
        return (self.latency(source, target),)

    def latency(self, source: int, target: int) -> float:
        """How long a datagram takes this time."""
        options = self._options
        seconds = self._rtt[source][target] / 2
        if options.jitter:
            # The square of a uniform number has about the spread of an exponential one, and no tail without end.
            drawn = self._random()
            seconds *= 1 + 3 * options.jitter * drawn * drawn
        seconds += self._slowness[source] + self._slowness[target]
        if options.reordering and self._random() < options.reordering:
            seconds += self._random() * options.reordering_seconds
        return seconds
