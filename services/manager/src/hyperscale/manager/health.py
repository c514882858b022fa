"""How this manager is, as it tells gates and whoever pings it."""

from __future__ import annotations

from hyperscale.manager.capacity import busy_cores, has_exclusive, waiting_work
from hyperscale.manager.latencies import RequestLatencies
from hyperscale.manager.leadership import Leadership
from hyperscale.manager.models.capacity import Instant
from hyperscale.manager.registry import WorkerRegistry
from hyperscale.manager.state import ManagerState
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.lifecycle import NodeLifecycle
from hyperscale.v1.job_pb2 import JOB_STATUS_QUEUED
from hyperscale.v1.manager_service_pb2 import ManagerPingResponse
from hyperscale.v1.node_pb2 import (
    OVERLOAD_STATE_BUSY,
    OVERLOAD_STATE_OVERLOADED,
    OVERLOAD_STATE_STRESSED,
    PingRequest,
)
from hyperscale.v1.progress_pb2 import ManagerHeartbeat


class ManagerHealth:
    """Reads state, registry and leadership; changes nothing."""

    def __init__(
        self,
        *,
        node: NodeLifecycle,
        state: ManagerState,
        workers: WorkerRegistry,
        leadership: Leadership,
        latencies: RequestLatencies,
        clock: Clock,
    ) -> None:
        self._node = node
        self._state = state
        self._workers = workers
        self._leadership = leadership
        self._latencies = latencies
        self._clock = clock

    def heartbeat(self) -> ManagerHeartbeat:
        """Who this is, whether it leads, and what capacity its workers have, now and later, and how long requests take."""
        vitals = self._vitals()
        vitals.node.CopyFrom(self._node.info())
        jobs, now = self._state.jobs(), Instant(self._clock.wall(), self._clock.monotonic())
        vitals.busy.extend(busy_cores(jobs, vitals.total_cores, now))
        vitals.waiting.extend(waiting_work(jobs, vitals.total_cores, now))
        latency = self._latencies.summary()
        if latency is not None:
            vitals.request_latency.CopyFrom(latency)
        return vitals

    def vitals(self) -> ManagerHeartbeat:
        """What the group is told: the state in brief, without what it knows anyway."""
        vitals = self._vitals()
        vitals.node.CopyFrom(self._node.vitals())
        return vitals

    def _vitals(self) -> ManagerHeartbeat:
        lease = self._leadership.lease
        jobs = self._state.jobs()
        return ManagerHeartbeat(
            is_leader=self._leads,
            term=lease.token if lease is not None else 0,
            worker_count=self._workers.present_count,
            healthy_worker_count=self._workers.healthy_count,
            total_cores=self._workers.total_cores,
            available_cores=self._available_cores(),
            active_jobs=len(jobs),
            queued_jobs=sum(job.lifecycle.status == JOB_STATUS_QUEUED for job in jobs),
            busy_worker_count=self._workers.overload_count(OVERLOAD_STATE_BUSY),
            stressed_worker_count=self._workers.overload_count(OVERLOAD_STATE_STRESSED),
            overloaded_worker_count=self._workers.overload_count(OVERLOAD_STATE_OVERLOADED),
        )

    @property
    def _leads(self) -> bool:
        return self._leadership.lease is not None and self._leadership.is_ready

    def _available_cores(self) -> int:
        if not self._leads:
            return self._workers.idle_cores
        return 0 if has_exclusive(self._state.jobs()) else self._workers.free_cores

    def answer(self, request: PingRequest) -> ManagerPingResponse:
        """The answer to Ping."""
        leader = self._leadership.leader
        return ManagerPingResponse(
            request_id=request.request_id,
            heartbeat=self.heartbeat(),
            workers=self._workers.statuses(),
            leader_id=leader.node_id if leader is not None else "",
        )
