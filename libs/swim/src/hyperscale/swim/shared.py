"""What the parts of one node share."""

from __future__ import annotations

from dataclasses import dataclass

from hyperscale.swim.awareness import Awareness
from hyperscale.swim.config import SwimConfig
from hyperscale.swim.coordinates import NetworkCoordinates
from hyperscale.swim.gossip import Gossip
from hyperscale.swim.journal import Journal
from hyperscale.swim.local import LocalNode
from hyperscale.swim.members import MemberTable
from hyperscale.swim.outbox import DatagramOutbox
from hyperscale.swim.ports import RandomSource
from hyperscale.swim.timeouts import Timeouts
from hyperscale.swim.timers import Timers


@dataclass(frozen=True, slots=True)
class Shared:
    """One of each, made once; each has its own state."""

    config: SwimConfig
    rng: RandomSource
    local: LocalNode
    table: MemberTable
    timers: Timers
    journal: Journal
    outbox: DatagramOutbox
    gossip: Gossip
    awareness: Awareness
    timeouts: Timeouts
    coordinates: NetworkCoordinates | None
