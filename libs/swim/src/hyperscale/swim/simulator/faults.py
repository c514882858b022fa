"""What goes wrong in a simulation, and when."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from hyperscale.swim.ports import RandomSource


class FaultKind(StrEnum):
    """Kinds of faults."""

    CRASH = "crash"
    """The process ends; at the end of the fault it starts again, with a higher incarnation."""
    PAUSE = "pause"
    """The process stands still: it neither sends nor reads, and finds what has arrived when it goes on."""
    BLOCK = "block"
    """The process goes on, and its timers with it, but what it sends and what it should read waits for the end of the fault."""
    SLOW = "slow"
    """Everything to and from the nodes takes so many seconds longer."""
    LOSS = "loss"
    """Of the datagrams to and from the nodes such a share is lost."""
    CUT = "cut"
    """Nothing passes from the nodes to the others, datagrams or streams; the way back is another fault."""


@dataclass(frozen=True, slots=True)
class NetworkFault:
    """One fault of some nodes, from one time to another."""

    kind: FaultKind
    at: float
    nodes: frozenset[int]
    until: float = math.inf
    others: frozenset[int] = frozenset()
    """For a cut: to whom nothing passes."""
    amount: float = 0.0
    """Seconds or share, by kind."""


def partition(at: float, until: float, side: frozenset[int], nodes: int) -> tuple[NetworkFault, NetworkFault]:
    """Cut a group in two, both ways."""
    rest = frozenset(range(nodes)) - side
    return (NetworkFault(FaultKind.CUT, at, side, until, rest), NetworkFault(FaultKind.CUT, at, rest, until, side))


def blocked_cycles(
    nodes: frozenset[int], start: float, end: float, blocked_seconds: float, free_seconds: float
) -> tuple[NetworkFault, ...]:
    """Nodes whose messages wait and pass in turns, those of all together, as in the evaluation of Lifeguard."""
    period = blocked_seconds + free_seconds
    cycles = math.ceil((end - start) / period)
    starts = [start + cycle * period for cycle in range(cycles)]
    return tuple(NetworkFault(FaultKind.BLOCK, at, nodes, min(end, at + blocked_seconds)) for at in starts)


def random_faults(rng: RandomSource, nodes: int, end: float) -> tuple[NetworkFault, ...]:
    """Three to eight faults of random kinds, nodes and times, all over before the end but for crashes."""
    drawer = _Drawer(rng, nodes, end)
    return tuple(fault for _ in range(3 + int(rng.random() * 6)) for fault in drawer.draw())


class _Drawer:
    def __init__(self, rng: RandomSource, nodes: int, end: float) -> None:
        self._rng = rng
        self._nodes = nodes
        self._end = end
        self._kinds = (self._crash, self._pause, self._block, self._slow, self._loss, self._one_way, self._partition)

    def draw(self) -> tuple[NetworkFault, ...]:
        at = self._between(1.0, self._end * 0.7)
        until = min(self._end, at + self._between(1.0, self._end * 0.5))
        return self._kinds[int(self._rng.random() * len(self._kinds))](at, until)

    def _crash(self, at: float, until: float) -> tuple[NetworkFault, ...]:
        return (NetworkFault(FaultKind.CRASH, at, self._some(0.1), until if self._rng.random() < 0.5 else math.inf),)

    def _pause(self, at: float, until: float) -> tuple[NetworkFault, ...]:
        return (NetworkFault(FaultKind.PAUSE, at, self._some(0.2), until),)

    def _block(self, at: float, until: float) -> tuple[NetworkFault, ...]:
        return (NetworkFault(FaultKind.BLOCK, at, self._some(0.2), until),)

    def _slow(self, at: float, until: float) -> tuple[NetworkFault, ...]:
        return (NetworkFault(FaultKind.SLOW, at, self._some(0.2), until, amount=self._between(0.05, 1.0)),)

    def _loss(self, at: float, until: float) -> tuple[NetworkFault, ...]:
        return (NetworkFault(FaultKind.LOSS, at, self._some(0.3), until, amount=self._between(0.05, 0.6)),)

    def _one_way(self, at: float, until: float) -> tuple[NetworkFault, ...]:
        return (NetworkFault(FaultKind.CUT, at, self._some(0.5), until, self._some(0.5)),)

    def _partition(self, at: float, until: float) -> tuple[NetworkFault, ...]:
        return partition(at, until, self._some(0.5), self._nodes)

    def _some(self, share_max: float) -> frozenset[int]:
        count = 1 + int(self._rng.random() * share_max * self._nodes)
        chosen: set[int] = set()
        while len(chosen) < count:
            chosen.add(int(self._rng.random() * self._nodes))
        return frozenset(chosen)

    def _between(self, least: float, most: float) -> float:
        return least + self._rng.random() * (most - least)
