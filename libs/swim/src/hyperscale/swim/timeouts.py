"""How long to wait for a peer: longer when it is far away, when that is uncertain, when it is busy, and when this node is unwell."""

from __future__ import annotations

import math

from hyperscale.swim.awareness import Awareness
from hyperscale.swim.config import SwimConfig
from hyperscale.swim.coordinates import NetworkCoordinates
from hyperscale.swim.local import LOAD_MAX
from hyperscale.swim.members import MemberRecord
from hyperscale.swim.suspicion import suspicion_min_seconds

_NEAR_SECONDS = 0.01
_DISTANCE_FACTOR_MAX = 10.0


def distance_factor(rtt_upper_bound_seconds: float, quality: float) -> float:
    """`min(10, max(1, rtt / 10 ms)) · (1 + (1 − quality) / 2)`; quality from 0, a guess, to 1."""
    far = min(_DISTANCE_FACTOR_MAX, max(1.0, rtt_upper_bound_seconds / _NEAR_SECONDS))
    return far * (1.0 + (1.0 - min(1.0, max(0.0, quality))) / 2.0)


def push_pull_seconds(base_seconds: float, members: int) -> float:
    """Interval of whole-table exchanges, longer with more than 32 members: `base · (ceil(log2 n − 5) + 1)`."""
    return base_seconds if members <= 32 else base_seconds * (math.ceil(math.log2(members) - 5) + 1)


class Timeouts:
    """Applies to one peer what is known of it and of this node."""

    def __init__(self, config: SwimConfig, awareness: Awareness, coordinates: NetworkCoordinates | None) -> None:
        self._config = config
        self._awareness = awareness
        self._coordinates = coordinates

    def interval_seconds(self) -> float:
        """Time between two probes of a node that probes one member per interval."""
        return self._config.probe_interval_seconds * self._awareness.multiplier

    def probe_seconds(self, peer: MemberRecord, now: float) -> float:
        """Wait for a direct answer."""
        return self._config.probe_timeout_seconds * self.patience(peer, now)

    def suspicion_seconds(self, members: int) -> tuple[float, float]:
        """Return the least and the most time a suspect has to refute, before patience."""
        config = self._config
        minimum = suspicion_min_seconds(config.suspicion_multiplier, members, config.probe_interval_seconds)
        return minimum, minimum * (config.suspicion_max_multiplier if config.suspicion_confirmations else 1.0)

    def patience(self, peer: MemberRecord, now: float) -> float:
        """By how much longer than usual to wait for a peer at present."""
        factor = float(self._awareness.multiplier)
        if not self._config.adaptive_timeouts:
            return factor
        factor *= min(LOAD_MAX, max(1.0, peer.load))
        if self._coordinates is None:
            return factor
        estimate = self._coordinates.estimate(peer.node_id, now)
        return factor * distance_factor(estimate.upper_bound_seconds, estimate.quality)
