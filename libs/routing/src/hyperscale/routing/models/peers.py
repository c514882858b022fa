"""Managers and peers as they are chosen from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ManagerCandidate:
    """A manager of the datacenter that a call is for."""

    node_id: str
    is_leader: bool = False
    term: int = 0
    is_circuit_open: bool = False
    heard_seconds_ago: float = 0.0


@dataclass(frozen=True, slots=True)
class PeerCandidate:
    """A node that others could be sent to."""

    node_id: str
    weight: float = 1.0
    is_healthy: bool = True
    latency_ms: float | None = None
    """Moving average; None: not known yet."""


@dataclass(frozen=True, slots=True)
class PeerSet:
    """Peers in use, and those that take their places."""

    primaries: tuple[PeerCandidate, ...] = ()
    backups: tuple[PeerCandidate, ...] = ()
