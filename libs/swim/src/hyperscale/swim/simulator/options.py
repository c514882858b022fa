"""Everything a simulation depends on, in one object."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from hyperscale.swim.config import SwimConfig
from hyperscale.swim.ports import RandomSource
from hyperscale.swim.simulator.faults import NetworkFault, random_faults
from hyperscale.swim.simulator.topology import RttMatrix


class Start(StrEnum):
    """How the nodes come together."""

    KNOWN = "known"
    """All know each other from the first moment."""
    SEEDS = "seeds"
    """All start within the first second and find each other through the first three of them."""


@dataclass(frozen=True, slots=True)
class SimulationOptions:
    """The same options give the same simulation, message by message."""

    nodes: int = 50
    seed: int = 1
    config: SwimConfig = field(default_factory=SwimConfig)
    start: Start = Start.KNOWN
    managers: int = 0
    """So many of the nodes are managers, the rest workers; 0: all are gates."""
    rtt: RttMatrix | None = None
    """Round trips; none for one millisecond between all."""
    jitter: float = 0.1
    """Mean of what a datagram takes longer, as a share of its latency; at most three times as much."""
    loss: float = 0.0
    """Share of datagrams lost."""
    duplication: float = 0.0
    """Share of datagrams delivered twice."""
    reordering: float = 0.0
    """Share of datagrams held back for up to `reordering_seconds`."""
    reordering_seconds: float = 0.2
    faults: tuple[NetworkFault, ...] = ()
    has_coordinates: bool = True
    """Whether nodes compute coordinates and let their timeouts follow them."""
    is_encrypted: bool = False
    backlog_max: int = 512
    """Datagrams a paused node finds when it goes on; more are lost, as in a socket's buffer."""

    def __post_init__(self) -> None:
        shares = (self.loss, self.duplication, self.reordering)
        if self.nodes < 1 or not all(0 <= share <= 1 for share in shares) or not 0 <= self.managers <= self.nodes:
            raise ValueError("a simulation has nodes, shares of 0 to 1, and no more managers than nodes")
        if self.rtt is not None and len(self.rtt) != self.nodes:
            raise ValueError(f"round trips of {len(self.rtt)} nodes given for {self.nodes}")


def random_options(rng: RandomSource, seed: int, nodes: int = 50, faulty_seconds: float = 60.0) -> SimulationOptions:
    """A network of random quality, and a random schedule of faults."""
    return SimulationOptions(
        nodes=nodes,
        seed=seed,
        loss=rng.random() * 0.05,
        duplication=rng.random() * 0.05,
        reordering=rng.random() * 0.1,
        jitter=rng.random(),
        faults=random_faults(rng, nodes, faulty_seconds),
    )
