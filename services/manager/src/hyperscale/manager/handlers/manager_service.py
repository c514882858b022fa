"""ManagerService: the datacenter as gates see it."""

from __future__ import annotations

from typing import Any

import grpc.aio

from hyperscale.manager.cancellation import JobCancellation
from hyperscale.manager.health import ManagerHealth
from hyperscale.manager.queries import WorkflowQueries
from hyperscale.manager.submission import JobIntake
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1.dispatch_pb2 import JobCancelRequest, JobCancelResponse, JobDispatch
from hyperscale.v1.gate_service_pb2 import WorkflowQueryRequest
from hyperscale.v1.job_pb2 import JobAck
from hyperscale.v1.manager_service_pb2 import ManagerPingResponse, WorkflowQueryResponse
from hyperscale.v1.manager_service_pb2_grpc import ManagerServiceServicer
from hyperscale.v1.node_pb2 import PingRequest


class ManagerServiceHandler(ManagerServiceServicer):
    """Translates and delegates."""

    def __init__(
        self,
        intake: JobIntake,
        cancellation: JobCancellation,
        queries: WorkflowQueries,
        health: ManagerHealth,
        supervisor: Supervisor,
    ) -> None:
        self._intake = intake
        self._cancellation = cancellation
        self._queries = queries
        self._health = health
        self._supervisor = supervisor

    async def SubmitJob(self, request: JobDispatch, context: grpc.aio.ServicerContext[Any, Any]) -> JobAck:
        """Take a job over."""
        # Once it is durable it must begin, whether or not the gate still waits.
        return await self._supervisor.see_through(self._intake.accept(request), name="job-intake")

    async def CancelJob(
        self, request: JobCancelRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> JobCancelResponse:
        """Make a cancellation durable and begin it."""
        status = await self._cancellation.cancel(request)
        return JobCancelResponse(job_id=request.job_id, status=status)

    async def QueryWorkflows(
        self, request: WorkflowQueryRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> WorkflowQueryResponse:
        """Workflows as they stand."""
        return WorkflowQueryResponse(workflows=await self._queries.find(request))

    async def Ping(self, request: PingRequest, context: grpc.aio.ServicerContext[Any, Any]) -> ManagerPingResponse:
        """How this manager is."""
        return self._health.answer(request)
