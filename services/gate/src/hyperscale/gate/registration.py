"""Letting managers in: their datacenters are remembered by all gates, also over restarts."""

from __future__ import annotations

from hyperscale.gate.registry import ManagerRegistry
from hyperscale.gate.store import JobStore
from hyperscale.runtime.circuits import Circuits
from hyperscale.runtime.endpoints import Endpoint
from hyperscale.v1 import progress_pb2


class ManagerRegistrations:
    """Registers managers."""

    def __init__(self, registry: ManagerRegistry, store: JobStore, circuits: Circuits) -> None:
        self._registry = registry
        self._store = store
        self._circuits = circuits
        self._unwritten: set[str] = set()

    async def register(self, heartbeat: progress_pb2.ManagerHeartbeat) -> None:
        """Let a manager in; raises WRONG_CLUSTER, INVALID_ARGUMENT or OVERLOADED, and COORDINATION_UNAVAILABLE for the first ones."""
        datacenter = heartbeat.node.datacenter
        is_new = datacenter not in self._registry.datacenter_names
        self._registry.register(heartbeat)
        endpoint = heartbeat.node.endpoint
        self._circuits.forget(Endpoint(endpoint.host, endpoint.port).address)
        if is_new:
            self._unwritten.add(datacenter)
        if datacenter in self._unwritten:
            # Whoever comes after one for whom the store did not answer sees to it.
            await self._store.remember_datacenter(datacenter)
            self._unwritten.discard(datacenter)
