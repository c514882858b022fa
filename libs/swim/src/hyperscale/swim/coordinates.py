"""Network coordinates: where a node lies, so that the round trip to a peer is known before it is measured.

Vivaldi (Dabek et al., SIGCOMM 2004) with height, as serf runs it: per-peer median filter and gravity (Ledlie et al., NSDI
2007), adjustment term (Lee et al., 2010). Eight dimensions; seconds everywhere; no clock and no random source of its own.

One thing differs from serf: the adjustment is the mean over the samples seen so far, where serf divides by the whole window
from the start. The first adjustments of a node then take up all of the distance that positions do not express yet, instead of
a part, and the positions no longer overshoot it: a line of ten nodes ends 50 times more accurate after 1000 samples each.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass
from enum import StrEnum

from hyperscale.swim.ports import RandomSource

RTT_MAX_SECONDS = 10.0
"""Nothing on this planet is farther away; a longer round trip was a stall, and a position beyond it is a lie."""
_COINCIDENT_SECONDS = 1e-6
_SMALLEST_ERROR = 1e-6
_RECENT_SAMPLES = 32


@dataclass(frozen=True, slots=True)
class CoordinateConfig:
    """How positions are computed. The defaults are serf's; nothing of it depends on the size of the cluster."""

    dimensions: int = 8
    """Of the Euclidean part. Every node of a cluster needs the same number: others are refused."""
    error_max: float = 1.5
    """Relative error of a node that knows nothing, and the limit for all others."""
    error_gain: float = 0.25
    """How far one sample moves the error, 0 to 1. Higher follows changes sooner and is noisier; 0 freezes the error."""
    position_gain: float = 0.25
    """How far one sample moves the position, 0 to 1. Higher converges sooner and oscillates more; 0 freezes the position."""
    adjustment_window: int = 20
    """Samples whose residuals make up the adjustment term. It helps the median pair and worsens the worst; 0: no such term."""
    height_min_seconds: float = 10e-6
    """Least height: the way from a node to its network."""
    latency_filter: int = 3
    """Samples per peer of which the median counts. Larger drops more spikes and sees a new route later; 1: no filter."""
    gravity_rho_seconds: float = 150.0
    """Distance at which gravity is one second. Smaller keeps the cluster nearer to the origin and distorts it; inf: no gravity."""
    peers_max: int = 10_000
    """Peers remembered; the one not heard of for longest goes first."""
    ttl_seconds: float = 300.0
    """Age at which what is known of a peer is no longer used. It loses quality from half of it on; inf: never."""
    samples_for_quality: int = 10
    """Samples this node needs before its estimates can have full quality; also for convergence."""
    converged_error: float = 0.2
    """Relative error at or below which a node counts as converged; estimates between two such nodes have full quality."""
    sigmas: float = 2.0
    """Standard deviations between the expected round trip and its upper bound; 0: the expected value itself."""
    unknown_rtt_seconds: float = 0.01
    """Upper bound for a peer nothing is known of, unless more than a quarter of this node's last samples took longer."""

    def __post_init__(self) -> None:
        faults = [
            name
            for name in ("dimensions", "latency_filter", "peers_max", "samples_for_quality")
            if getattr(self, name) < 1
        ]
        faults += [name for name in ("error_gain", "position_gain") if not 0 <= getattr(self, name) <= 1]
        faults += [
            name
            for name in (
                "error_max",
                "height_min_seconds",
                "gravity_rho_seconds",
                "ttl_seconds",
                "converged_error",
                "unknown_rtt_seconds",
            )
            if not getattr(self, name) > 0
        ]
        faults += [name for name in ("adjustment_window", "sigmas") if getattr(self, name) < 0]
        if faults:
            raise ValueError(f"coordinate configuration out of range: {', '.join(faults)}")


class CoordinateRefusal(StrEnum):
    """Why a sample changed nothing."""

    WRONG_DIMENSION = "wrong_dimension"
    NOT_FINITE = "not_finite"
    NEGATIVE = "negative"
    ABSURD = "absurd"
    RTT_NOT_FINITE = "rtt_not_finite"
    RTT_OUT_OF_RANGE = "rtt_out_of_range"


@dataclass(frozen=True, slots=True)
class Coordinate:
    """A position: what a node tells its peers about where it is."""

    vector: tuple[float, ...]
    """Euclidean part, seconds per dimension."""
    height_seconds: float
    """The way from the node to the network that the Euclidean part describes; at both ends it is added."""
    error: float
    """Relative error of this node's predictions; 1.5 for one that knows nothing."""
    adjustment_seconds: float = 0.0
    """What the latest samples lay above (below, when negative) the prediction, halved."""

    def raw_distance_to(self, other: Coordinate) -> float:
        """Round trip as positions and heights have it, in seconds."""
        return math.dist(self.vector, other.vector) + self.height_seconds + other.height_seconds

    def distance_to(self, other: Coordinate) -> float:
        """Expected round trip in seconds; never negative."""
        raw = self.raw_distance_to(other)
        adjusted = raw + self.adjustment_seconds + other.adjustment_seconds
        return adjusted if adjusted > 0 else raw

    def fault(self, dimensions: int) -> CoordinateRefusal | None:
        """What makes it unusable for a node that computes in so many dimensions."""
        if len(self.vector) != dimensions:
            return CoordinateRefusal.WRONG_DIMENSION
        if not all(map(math.isfinite, (*self.vector, self.height_seconds, self.error, self.adjustment_seconds))):
            return CoordinateRefusal.NOT_FINITE
        if self.height_seconds < 0 or self.error < 0:
            return CoordinateRefusal.NEGATIVE
        largest = max(*map(abs, self.vector), self.height_seconds, abs(self.adjustment_seconds), self.error)
        return CoordinateRefusal.ABSURD if largest > RTT_MAX_SECONDS else None


@dataclass(frozen=True, slots=True)
class RttEstimate:
    """What is expected of the round trip to a peer."""

    expected_seconds: float
    upper_bound_seconds: float
    """The expected value plus two standard deviations (as configured)."""
    quality: float
    """0: nothing is known; 1: both ends know where they are, and have said so lately."""


@dataclass(slots=True)
class _Peer:
    coordinate: Coordinate
    heard_at: float
    latencies: deque[float]


class NetworkCoordinates:
    """A node's own coordinate, and what it knows of its peers'.

    A refused sample changes nothing and is counted in `refusals`. An own coordinate that becomes unusable is replaced by a
    new one at the origin, counted in `resets`.
    """

    def __init__(self, config: CoordinateConfig, rng: RandomSource) -> None:
        self._config = config
        self._rng = rng
        self._origin = Coordinate((0.0,) * config.dimensions, config.height_min_seconds, config.error_max)
        self._coordinate = self._origin
        self._residuals: deque[float] = deque(maxlen=config.adjustment_window)
        self._peers: dict[str, _Peer] = {}
        self._samples = 0
        self._recent: deque[float] = deque(maxlen=_RECENT_SAMPLES)
        self.refusals: Counter[CoordinateRefusal] = Counter()
        self.resets = 0

    @property
    def coordinate(self) -> Coordinate:
        """Where this node is."""
        return self._coordinate

    @property
    def is_converged(self) -> bool:
        """Whether the node has found its place: enough samples, and a small error."""
        enough = self._samples >= self._config.samples_for_quality
        return enough and self._coordinate.error <= self._config.converged_error

    def observe(self, peer_id: str, coordinate: Coordinate, rtt_seconds: float, now: float) -> CoordinateRefusal | None:
        """Take in a measured round trip and where the peer says it is; returns why not, if it is refused."""
        refusal = coordinate.fault(self._config.dimensions) or _rtt_fault(rtt_seconds)
        if refusal is not None:
            self.refusals[refusal] += 1
            return refusal
        rtt = max(_COINCIDENT_SECONDS, self._filtered(peer_id, coordinate, rtt_seconds, now))
        self._samples += 1
        self._recent.append(rtt)
        self._move(coordinate, rtt)
        self._adjust(coordinate, rtt)
        self._gravitate()
        if self._coordinate.fault(self._config.dimensions) is not None:
            self._reset()
        return None

    def learn(self, peer_id: str, coordinate: Coordinate, now: float) -> CoordinateRefusal | None:
        """Note where a peer says it is, without a measured round trip; returns why not, if it is refused."""
        refusal = coordinate.fault(self._config.dimensions)
        if refusal is not None:
            self.refusals[refusal] += 1
            return refusal
        self._remember(peer_id, coordinate, now)
        return None

    def forget(self, peer_id: str) -> None:
        """Drop what is known of a peer that is gone."""
        self._peers.pop(peer_id, None)

    def estimate(self, peer_id: str, now: float) -> RttEstimate:
        """The expected round trip to a peer, known or not."""
        peer = self._peers.get(peer_id)
        if peer is None or now - peer.heard_at >= self._config.ttl_seconds:
            return self._guess()
        expected = self._coordinate.distance_to(peer.coordinate)
        sigma = expected * math.hypot(self._coordinate.error, peer.coordinate.error)
        quality = self._quality(peer, now)
        return RttEstimate(expected, min(RTT_MAX_SECONDS, expected + self._config.sigmas * sigma), quality)

    def _quality(self, peer: _Peer, now: float) -> float:
        config = self._config
        worst = max(self._coordinate.error, peer.coordinate.error)
        certainty = (config.error_max - worst) / max(config.error_max - config.converged_error, _SMALLEST_ERROR)
        evidence = self._samples / config.samples_for_quality
        freshness = 2.0 if math.isinf(config.ttl_seconds) else 2.0 - 2.0 * (now - peer.heard_at) / config.ttl_seconds
        return min(1.0, max(0.0, certainty)) * min(1.0, evidence) * min(1.0, max(0.0, freshness))

    def _guess(self) -> RttEstimate:
        unknown = self._config.unknown_rtt_seconds
        if not self._recent:
            return RttEstimate(unknown, unknown, 0.0)
        seen = sorted(self._recent)
        # Quartiles, unlike mean and deviation, are not moved by the few samples that a stall has spoilt.
        return RttEstimate(seen[len(seen) // 2], max(unknown, seen[len(seen) * 3 // 4]), 0.0)

    def _remember(self, peer_id: str, coordinate: Coordinate, now: float) -> _Peer:
        peer = self._peers.pop(peer_id, None)
        if peer is None:
            if len(self._peers) >= self._config.peers_max:
                del self._peers[next(iter(self._peers))]
            peer = _Peer(coordinate, now, deque(maxlen=self._config.latency_filter))
        else:
            peer.coordinate, peer.heard_at = coordinate, now
        self._peers[peer_id] = peer
        return peer

    def _filtered(self, peer_id: str, coordinate: Coordinate, rtt_seconds: float, now: float) -> float:
        latencies = self._remember(peer_id, coordinate, now).latencies
        latencies.append(rtt_seconds)
        return sorted(latencies)[len(latencies) // 2]

    def _move(self, other: Coordinate, rtt: float) -> None:
        config, own = self._config, self._coordinate
        distance = own.distance_to(other)
        weight = own.error / max(own.error + other.error, _SMALLEST_ERROR)
        gain = config.error_gain * weight
        error = min(config.error_max, gain * abs(distance - rtt) / rtt + own.error * (1 - gain))
        pushed = self._pushed(config.position_gain * weight * (rtt - distance), other)
        self._coordinate = Coordinate(pushed.vector, pushed.height_seconds, error, own.adjustment_seconds)

    def _adjust(self, other: Coordinate, rtt: float) -> None:
        if not self._config.adjustment_window:
            return
        own = self._coordinate
        self._residuals.append(rtt - own.raw_distance_to(other))
        adjustment = sum(self._residuals) / (2 * len(self._residuals))
        self._coordinate = Coordinate(own.vector, own.height_seconds, own.error, adjustment)

    def _gravitate(self) -> None:
        distance = self._coordinate.distance_to(self._origin)
        self._coordinate = self._pushed(-((distance / self._config.gravity_rho_seconds) ** 2), self._origin)

    def _pushed(self, force: float, other: Coordinate) -> Coordinate:
        """The own coordinate after a force away from another one."""
        own = self._coordinate
        magnitude = math.dist(own.vector, other.vector)
        if magnitude <= _COINCIDENT_SECONDS:
            away = self._random_direction()
            vector = tuple([a + force * u for a, u in zip(own.vector, away, strict=True)])
            return Coordinate(vector, own.height_seconds, own.error, own.adjustment_seconds)
        ratio = force / magnitude
        vector = tuple([a + (a - b) * ratio for a, b in zip(own.vector, other.vector, strict=True)])
        height = (own.height_seconds + other.height_seconds) * ratio + own.height_seconds
        return Coordinate(vector, max(height, self._config.height_min_seconds), own.error, own.adjustment_seconds)

    def _random_direction(self) -> tuple[float, ...]:
        """A unit vector that has a share of every dimension, evenly over the sphere."""
        while True:
            vector = [self._rng.gauss(0.0, 1.0) for _ in range(self._config.dimensions)]
            length = math.hypot(*vector)
            if length > _COINCIDENT_SECONDS:
                return tuple([component / length for component in vector])

    def _reset(self) -> None:
        self._coordinate = self._origin
        self._residuals.clear()
        self.resets += 1


def _rtt_fault(rtt_seconds: float) -> CoordinateRefusal | None:
    if not math.isfinite(rtt_seconds):
        return CoordinateRefusal.RTT_NOT_FINITE
    if not 0 <= rtt_seconds <= RTT_MAX_SECONDS:
        return CoordinateRefusal.RTT_OUT_OF_RANGE
    return None
