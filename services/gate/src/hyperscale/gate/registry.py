"""The managers that have registered with this process, and the datacenters they stand for.

Laws: nodes of another cluster or environment never enter; a manager leaves when its stream ends or it falls silent; a
datacenter that was once known stays known, available or not.
"""

from __future__ import annotations

from collections.abc import Iterable

from hyperscale.gate.capacity import capacity_of, described
from hyperscale.gate.models.managers import ConnectedManager
from hyperscale.gate.slo import judged
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.identity import NodeIdentity
from hyperscale.v1 import gate_service_pb2, node_pb2, progress_pb2

_MAX_MANAGERS = 1000
MAX_DATACENTERS = 1000


class ManagerRegistry:
    """Who is connected, who leads, and how much each datacenter can take.

    Parameters
    ----------
    home
        This gate; managers must be of its cluster and environment.
    loss_grace_seconds
        Silence after which a manager, and a datacenter without others, counts as lost.
    slo_target_ms
        Latency that requests in every datacenter are to have; None: any will do.
    """

    def __init__(
        self, home: NodeIdentity, loss_grace_seconds: float, clock: Clock, slo_target_ms: float | None = None
    ) -> None:
        self._home = home
        self._loss_grace_seconds = loss_grace_seconds
        self._clock = clock
        self._slo_target_ms = slo_target_ms
        self._managers: dict[str, ConnectedManager] = {}
        self._by_datacenter: dict[str, dict[str, ConnectedManager]] = {}
        self._heard_at: dict[str, float] = {}
        self._came_at: dict[str, float] = {}
        self._last_session = 0

    @property
    def manager_count(self) -> int:
        """Managers known now."""
        return len(self._managers)

    @property
    def datacenter_names(self) -> list[str]:
        """Every datacenter that has ever registered, sorted."""
        return sorted(self._heard_at)

    def restore(self, names: Iterable[str]) -> None:
        """Note datacenters known from before; they have the loss grace to come back."""
        now = self._clock.monotonic()
        for name in names:
            self._heard_at.setdefault(name, now)
            self._came_at.setdefault(name, now)

    def register(self, heartbeat: progress_pb2.ManagerHeartbeat) -> None:
        """Let a manager in; raises WRONG_CLUSTER, INVALID_ARGUMENT or OVERLOADED."""
        self._home.admit(heartbeat.node, node_pb2.NODE_ROLE_MANAGER)
        self.expire()
        self._check_room(heartbeat.node)
        self._last_session += 1
        now = self._clock.monotonic()
        node, endpoint = heartbeat.node, heartbeat.node.endpoint
        self._forget(node.node_id)
        self._managers[node.node_id] = manager = ConnectedManager(
            session=self._last_session,
            address=Endpoint(endpoint.host, endpoint.port).address,
            heartbeat=heartbeat,
            capacity=capacity_of(heartbeat),
            heard_at_seconds=now,
        )
        self._by_datacenter.setdefault(node.datacenter, {})[node.node_id] = manager
        self._heard_at[node.datacenter] = self._came_at[node.datacenter] = now

    def session_of(self, node_id: str) -> int | None:
        """The latest registration of a manager; None when it has not registered with this process."""
        manager = self._managers.get(node_id)
        return None if manager is None else manager.session

    def hear(self, heartbeat: progress_pb2.ManagerHeartbeat) -> None:
        """Take a registered manager's news over."""
        manager = self._managers.get(heartbeat.node.node_id)
        if manager is None or manager.heartbeat.node.datacenter != heartbeat.node.datacenter:
            return
        now = self._clock.monotonic()
        passed_seconds = now - manager.heard_at_seconds
        manager.slo = judged(manager.slo, heartbeat.request_latency, self._slo_target_ms, passed_seconds)
        manager.heartbeat, manager.capacity = heartbeat, capacity_of(heartbeat)
        manager.heard_at_seconds = self._heard_at[heartbeat.node.datacenter] = now

    def leave(self, node_id: str, session: int) -> None:
        """Forget a manager whose stream has ended, unless it has registered again since."""
        if self.session_of(node_id) == session:
            self._forget(node_id)

    def expire(self) -> None:
        """Forget managers that have been silent for too long."""
        now = self._clock.monotonic()
        silent = [
            node_id
            for node_id, manager in self._managers.items()
            if now - manager.heard_at_seconds > self._loss_grace_seconds
        ]
        for node_id in silent:
            self._forget(node_id)

    def heard_at(self, datacenter: str) -> float:
        """When a manager of the datacenter last spoke on its stream, by the monotonic clock."""
        return self._heard_at.get(datacenter, float("-inf"))

    def is_silent(self, datacenter: str) -> bool:
        """Whether nothing has been heard of a datacenter for longer than the grace."""
        return self._clock.monotonic() - self.heard_at(datacenter) > self._loss_grace_seconds

    def is_new(self, datacenter: str) -> bool:
        """Whether a manager of a datacenter has registered, or the datacenter was restored, within the grace."""
        return self._clock.monotonic() - self._came_at.get(datacenter, float("-inf")) <= self._loss_grace_seconds

    def connected(self, datacenter: str) -> list[ConnectedManager]:
        """The managers of a datacenter whose streams have not ended; not to be changed."""
        return list(self._by_datacenter.get(datacenter, {}).values())

    def datacenters(self) -> list[gate_service_pb2.DatacenterInfo]:
        """What is known of each datacenter, by name."""
        now = self._clock.monotonic()
        return [described(name, self.connected(name), now) for name in self.datacenter_names]

    def _forget(self, node_id: str) -> None:
        manager = self._managers.pop(node_id, None)
        if manager is not None:
            del self._by_datacenter[manager.heartbeat.node.datacenter][node_id]

    def _check_room(self, node: node_pb2.NodeInfo) -> None:
        if node.node_id not in self._managers and len(self._managers) >= _MAX_MANAGERS:
            raise HyperscaleError(ErrorReason.OVERLOADED, f"{_MAX_MANAGERS} managers are already registered")
        if node.datacenter not in self._heard_at and len(self._heard_at) >= MAX_DATACENTERS:
            raise HyperscaleError(ErrorReason.OVERLOADED, f"{MAX_DATACENTERS} datacenters are already known")
