"""What the worker says of itself: to managers every second, and to whoever pings it."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

from hyperscale.v1 import node_pb2
from hyperscale.v1.progress_pb2 import WorkerHeartbeat
from hyperscale.worker.config import WorkerConfig
from hyperscale.worker.state import WorkerState

_DISTRIBUTION = "hyperscale-worker"


@cache
def _release() -> str:
    try:
        return version(_DISTRIBUTION)
    except PackageNotFoundError:
        return ""


class Pulse:
    """Makes heartbeats of the worker's present state."""

    def __init__(self, config: WorkerConfig, state: WorkerState) -> None:
        self._config = config
        self._state = state

    def heartbeat(self) -> WorkerHeartbeat:
        """The state now."""
        return WorkerHeartbeat(
            node=self._node_info(),
            total_cores=self._state.total_cores,
            available_cores=self._state.available_cores,
            active_shard_ids=self._state.active_shards,
        )

    def _node_info(self) -> node_pb2.NodeInfo:
        endpoint = self._state.endpoint
        return node_pb2.NodeInfo(
            node_id=self._config.node_id,
            role=node_pb2.NODE_ROLE_WORKER,
            datacenter=self._config.datacenter,
            endpoint=node_pb2.Endpoint(host=endpoint.host, port=endpoint.port),
            state=self._state.node_state,
            cluster_id=self._config.cluster_id,
            environment_id=self._config.environment_id,
            version=_release(),
        )
