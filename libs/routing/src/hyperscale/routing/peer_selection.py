"""Which peers a node uses, and which of them for the next call.

Laws: the same node finds the same peers among the same ones; a peer in use stays until it is unhealthy or gone; of those that
may be used, near ones come first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Protocol

from hyperscale.routing.models.peers import PeerCandidate, PeerSet

CANDIDATES = 8
PRIMARIES = 3
BACKUPS = 2


class Dice(Protocol):
    """Where random numbers come from."""

    def sample(self, population: Sequence[PeerCandidate], k: int) -> list[PeerCandidate]:
        """So many different ones of a population."""
        ...


def rendezvous(key: str, peers: Iterable[PeerCandidate], count: int) -> list[PeerCandidate]:
    """The peers that a key meets, by weighted rendezvous hashing; those without weight never."""
    weighted = [peer for peer in peers if peer.weight > 0]
    weighted.sort(key=lambda peer: (_draw(key, peer), peer.node_id))
    return weighted[:count]


def refreshed(key: str, peers: Sequence[PeerCandidate], current: PeerSet) -> PeerSet:
    """The peers of a node: who is in use and still healthy stays, backups move up, and near ones fill the rest."""
    healthy = {peer.node_id: peer for peer in peers if peer.is_healthy}
    primaries = _still(current.primaries, healthy)
    backups = _still(current.backups, healthy)
    used = {peer.node_id for peer in primaries + backups}
    fresh = sorted(
        (peer for peer in rendezvous(key, healthy.values(), CANDIDATES) if peer.node_id not in used), key=_nearness
    )
    line = primaries + backups + fresh
    return PeerSet(tuple(line[:PRIMARIES]), tuple(line[PRIMARIES : PRIMARIES + BACKUPS]))


def pick(peers: PeerSet, dice: Dice) -> PeerCandidate | None:
    """Of two primaries drawn at random the nearer one; None when there is none."""
    if not peers.primaries:
        return None
    return min(dice.sample(peers.primaries, min(2, len(peers.primaries))), key=_nearness)


def _still(before: Iterable[PeerCandidate], healthy: dict[str, PeerCandidate]) -> list[PeerCandidate]:
    return [healthy[peer.node_id] for peer in before if peer.node_id in healthy]


def _nearness(peer: PeerCandidate) -> float:
    return math.inf if peer.latency_ms is None else peer.latency_ms


def _draw(key: str, peer: PeerCandidate) -> float:
    number = int.from_bytes(blake2b(f"{key}/{peer.node_id}".encode(), digest_size=8).digest(), "big")
    return -math.log((number + 1) / (2**64 + 1)) / peer.weight
