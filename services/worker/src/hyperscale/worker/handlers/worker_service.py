"""WorkerService, as managers call it."""

from __future__ import annotations

from typing import Any

import grpc.aio

from hyperscale.v1.dispatch_pb2 import (
    WorkflowCancelRequest,
    WorkflowCancelResponse,
    WorkflowDispatch,
    WorkflowDispatchAck,
)
from hyperscale.v1.node_pb2 import PingRequest
from hyperscale.v1.worker_service_pb2 import WorkerPingResponse
from hyperscale.v1.worker_service_pb2_grpc import WorkerServiceServicer
from hyperscale.worker.dispatch import ShardDesk
from hyperscale.worker.health import Pulse


class WorkerService(WorkerServiceServicer):
    """Translates calls of managers."""

    def __init__(self, desk: ShardDesk, pulse: Pulse) -> None:
        self._desk = desk
        self._pulse = pulse

    async def DispatchWorkflow(
        self, request: WorkflowDispatch, context: grpc.aio.ServicerContext[Any, Any]
    ) -> WorkflowDispatchAck:
        """See the contract."""
        return self._desk.dispatch(request)

    async def CancelWorkflow(
        self, request: WorkflowCancelRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> WorkflowCancelResponse:
        """See the contract."""
        return self._desk.cancel(request)

    async def Ping(self, request: PingRequest, context: grpc.aio.ServicerContext[Any, Any]) -> WorkerPingResponse:
        """See the contract."""
        return WorkerPingResponse(request_id=request.request_id, heartbeat=self._pulse.heartbeat())
