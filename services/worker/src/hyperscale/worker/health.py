"""What the worker says of itself: to managers every second, and to whoever pings it."""

from __future__ import annotations

from hyperscale.runtime.lifecycle import NodeLifecycle
from hyperscale.v1.progress_pb2 import WorkerHeartbeat
from hyperscale.worker.state import WorkerState


class Pulse:
    """Makes heartbeats of the worker's present state."""

    def __init__(self, node: NodeLifecycle, state: WorkerState) -> None:
        self._node = node
        self._state = state

    def heartbeat(self) -> WorkerHeartbeat:
        """The state now."""
        return WorkerHeartbeat(
            node=self._node.info(),
            total_cores=self._state.total_cores,
            available_cores=self._state.available_cores,
            active_shard_ids=self._state.active_shards,
        )

    def vitals(self) -> WorkerHeartbeat:
        """What the group is told: the state without what it knows anyway."""
        return WorkerHeartbeat(
            node=self._node.vitals(), total_cores=self._state.total_cores, available_cores=self._state.available_cores
        )
