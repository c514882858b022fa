"""How this manager is, as it tells gates and whoever pings it."""

from __future__ import annotations

from hyperscale.manager.leadership import Leadership
from hyperscale.manager.registry import WorkerRegistry
from hyperscale.manager.state import ManagerState
from hyperscale.runtime.lifecycle import NodeLifecycle
from hyperscale.v1.job_pb2 import JOB_STATUS_QUEUED
from hyperscale.v1.manager_service_pb2 import ManagerPingResponse
from hyperscale.v1.node_pb2 import PingRequest
from hyperscale.v1.progress_pb2 import ManagerHeartbeat


class ManagerHealth:
    """Reads state, registry and leadership; changes nothing."""

    def __init__(
        self, node: NodeLifecycle, state: ManagerState, workers: WorkerRegistry, leadership: Leadership
    ) -> None:
        self._node = node
        self._state = state
        self._workers = workers
        self._leadership = leadership

    def heartbeat(self) -> ManagerHeartbeat:
        """Who this is, whether it leads, and what capacity its workers have."""
        lease = self._leadership.lease
        statuses = self._workers.statuses()
        total_cores = self._workers.total_cores
        return ManagerHeartbeat(
            node=self._node.info(),
            is_leader=lease is not None and self._leadership.is_ready,
            term=lease.token if lease is not None else 0,
            worker_count=len(statuses),
            total_cores=total_cores,
            available_cores=max(0, total_cores - sum(status.reserved_cores for status in statuses)),
            active_jobs=len(self._state),
            queued_jobs=sum(job.lifecycle.status == JOB_STATUS_QUEUED for job in self._state.jobs()),
        )

    def vitals(self) -> ManagerHeartbeat:
        """What the group is told: the state without what it knows anyway."""
        vitals = self.heartbeat()
        vitals.node.CopyFrom(self._node.vitals())
        return vitals

    def answer(self, request: PingRequest) -> ManagerPingResponse:
        """The answer to Ping."""
        leader = self._leadership.leader
        return ManagerPingResponse(
            request_id=request.request_id,
            heartbeat=self.heartbeat(),
            workers=self._workers.statuses(),
            leader_id=leader.node_id if leader is not None else "",
        )
