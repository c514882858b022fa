"""Managers and datacenters as a gate sees them."""

from __future__ import annotations

from dataclasses import dataclass

from hyperscale.routing.models.candidates import DatacenterCapacity, SloStanding
from hyperscale.v1 import progress_pb2


@dataclass(slots=True)
class ConnectedManager:
    """A manager that has registered.

    Attributes
    ----------
    session
        Rises with each registration, so that the end of an earlier stream does not touch a later one.
    capacity
        What the heartbeat says of the datacenter's cores.
    heard_at_seconds
        Monotonic clock.
    slo
        Latencies in its datacenter beside their target, by its word; None without a target, or when there are too few.
    """

    session: int
    address: str
    heartbeat: progress_pb2.ManagerHeartbeat
    capacity: DatacenterCapacity
    heard_at_seconds: float
    slo: SloStanding | None = None


@dataclass(frozen=True, slots=True)
class SpokenFor:
    """A datacenter by the word of one of its managers.

    Attributes
    ----------
    heartbeat
        What that manager has said.
    capacity
        What follows from it, and how old that is.
    slo
        Its latencies beside their target; None without a target, or when there are too few.
    """

    heartbeat: progress_pb2.ManagerHeartbeat
    capacity: DatacenterCapacity
    slo: SloStanding | None
