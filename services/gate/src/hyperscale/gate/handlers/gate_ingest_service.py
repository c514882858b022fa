"""GateIngestService: what managers call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import grpc.aio

from hyperscale.gate.registration import ManagerRegistrations
from hyperscale.gate.sync import ReportIngestion
from hyperscale.runtime.lifecycle import NodeLifecycle
from hyperscale.v1 import gate_ingest_service_pb2, progress_pb2
from hyperscale.v1.gate_ingest_service_pb2_grpc import GateIngestServiceServicer


class GateIngestServiceHandler(GateIngestServiceServicer):
    """Translates calls of managers."""

    def __init__(
        self, lifecycle: NodeLifecycle, registration: ManagerRegistrations, ingestion: ReportIngestion
    ) -> None:
        self._lifecycle = lifecycle
        self._registration = registration
        self._ingestion = ingestion

    async def RegisterManager(
        self, request: gate_ingest_service_pb2.ManagerRegistration, context: grpc.aio.ServicerContext[Any, Any]
    ) -> gate_ingest_service_pb2.ManagerRegistrationResponse:
        """Let a manager in."""
        self._lifecycle.require_active()
        await self._registration.register(request.heartbeat)
        return gate_ingest_service_pb2.ManagerRegistrationResponse(gate=self._lifecycle.info())

    async def StreamReports(
        self,
        request_iterator: AsyncIterator[progress_pb2.ManagerReport],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[progress_pb2.ReportAck]:
        """Take reports over for as long as the stream lasts."""
        self._lifecycle.require_active()
        with closing(self._ingestion.open()) as stream:
            async for report in request_iterator:
                ack = stream.take(report)
                if ack is not None:
                    yield ack
