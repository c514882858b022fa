"""ManagerIngestService: where workers register and report."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from hyperscale.manager.worker_streams import WorkerStreams
from hyperscale.v1.manager_ingest_service_pb2 import RegistrationResponse, WorkerRegistration
from hyperscale.v1.manager_ingest_service_pb2_grpc import ManagerIngestServiceServicer
from hyperscale.v1.progress_pb2 import WorkerReport, WorkflowProgressAck


class ManagerIngestServiceHandler(ManagerIngestServiceServicer):
    """Translates and delegates."""

    def __init__(self, streams: WorkerStreams) -> None:
        self._streams = streams

    async def RegisterWorker(
        self, request: WorkerRegistration, context: grpc.aio.ServicerContext[Any, Any]
    ) -> RegistrationResponse:
        """Admit a worker."""
        return RegistrationResponse(manager=self._streams.register(request.heartbeat))

    async def StreamProgress(
        self, request_iterator: AsyncIterator[WorkerReport], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[WorkflowProgressAck]:
        """Take over what a worker reports, frame by frame."""
        async for ack in self._streams.take(request_iterator):
            yield ack
