"""A worker as this manager knows it."""

from __future__ import annotations

from dataclasses import dataclass, field

from hyperscale.runtime.endpoints import Endpoint
from hyperscale.v1.node_pb2 import (
    NODE_STATE_ACTIVE,
    OVERLOAD_STATE_HEALTHY,
    OVERLOAD_STATE_OVERLOADED,
    OverloadState,
)
from hyperscale.v1.progress_pb2 import WorkerHeartbeat

_PROVEN_ALIVE_SECONDS = 2.0
"""Two intervals of heartbeats."""


@dataclass(frozen=True, slots=True)
class LostWorker:
    """A worker that is gone, and how that was noticed."""

    worker_id: str
    cause: str


@dataclass(slots=True)
class ConnectedWorker:
    """A worker that has registered.

    Attributes
    ----------
    connection
        Number of its open stream; None while there is none.
    away_since_seconds
        Monotonic time since which no stream is open; None while one is.
    heard_at_seconds
        Monotonic time of its last heartbeat.
    declared_dead_by
        Member of the group that got no answer from it, while the group takes it for dead.
    held_until_seconds
        Monotonic time before which it is not asked again, because it refused.
    reservations
        Cores by shard.
    missing_since_seconds
        Monotonic time since which a shard it was given has been absent from its heartbeats, by shard.
    """

    heartbeat: WorkerHeartbeat
    connection: int | None = None
    away_since_seconds: float | None = None
    heard_at_seconds: float = 0.0
    declared_dead_by: str | None = None
    held_until_seconds: float = 0.0
    reservations: dict[str, int] = field(default_factory=dict)
    missing_since_seconds: dict[str, float] = field(default_factory=dict)

    @property
    def worker_id(self) -> str:
        """Node id of the worker."""
        return self.heartbeat.node.node_id

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        return Endpoint(self.heartbeat.node.endpoint.host, self.heartbeat.node.endpoint.port)

    @property
    def reserved_cores(self) -> int:
        """Cores given to shards."""
        return sum(self.reservations.values())

    @property
    def free_cores(self) -> int:
        """Cores that nobody has reserved."""
        return max(0, self.heartbeat.total_cores - self.reserved_cores)

    def loss(self, now_seconds: float, grace_seconds: float) -> LostWorker | None:
        """Why it is gone; none when it is not. What its open stream says counts for more than what the group believes."""
        is_silent = self.connection is None or now_seconds - self.heard_at_seconds > _PROVEN_ALIVE_SECONDS
        if self.declared_dead_by is not None and is_silent:
            return LostWorker(self.worker_id, f"declared dead by the group: {self.declared_dead_by} got no answer")
        if self.away_since_seconds is not None and now_seconds - self.away_since_seconds >= grace_seconds:
            return LostWorker(self.worker_id, f"no connection for {grace_seconds:g} s")
        return None

    @property
    def is_healthy(self) -> bool:
        """Whether it is here, takes work, and is not taken for dead."""
        return self._is_active and self.declared_dead_by is None

    @property
    def overload(self) -> OverloadState.ValueType:
        """Whether it does its work in time; one that does not say does."""
        return max(self.heartbeat.node.overload, OVERLOAD_STATE_HEALTHY)

    def takes_work(self, now_seconds: float) -> bool:
        """Whether it is worth asking."""
        is_held = now_seconds < self.held_until_seconds
        return self._is_active and not is_held and self.overload < OVERLOAD_STATE_OVERLOADED

    @property
    def _is_active(self) -> bool:
        return self.connection is not None and self.heartbeat.node.state == NODE_STATE_ACTIVE
