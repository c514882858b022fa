"""The stream to one gate."""

from __future__ import annotations

import asyncio

import grpc.aio

from hyperscale.manager.health import ManagerHealth
from hyperscale.manager.reporting import GateReports
from hyperscale.runtime.channels import ChannelPool
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.outbox import Outgoing
from hyperscale.v1.gate_ingest_service_pb2 import ManagerRegistration
from hyperscale.v1.gate_ingest_service_pb2_grpc import GateIngestServiceStub
from hyperscale.v1.progress_pb2 import ManagerReport, ReportAck


class GateIngestPeer:
    """A gate, as a link sees it."""

    def __init__(self, address: str, channels: ChannelPool, health: ManagerHealth, reports: GateReports) -> None:
        self._address = address
        self._channels = channels
        self._health = health
        self._reports = reports

    async def connect(self) -> grpc.aio.StreamStreamCall[ManagerReport, ReportAck]:
        """Register, open the stream, say hello with a heartbeat."""
        stub = self._channels.stub(self._address, GateIngestServiceStub)
        heartbeat = self._health.heartbeat()
        welcome = await stub.RegisterManager(ManagerRegistration(heartbeat=heartbeat))
        call = stub.StreamReports()
        try:
            await call.write(ManagerReport(heartbeat=heartbeat))
        except asyncio.InvalidStateError as error:
            raise HyperscaleError(ErrorReason.PEER_UNREACHABLE) from error
        self._reports.met(self._address, welcome.gate.node_id)
        return call

    def encode(self, outgoing: Outgoing[ManagerReport]) -> ManagerReport:
        """The report under its sequence."""
        frame = ManagerReport(report_sequence=outgoing.sequence)
        frame.MergeFrom(outgoing.report)
        return frame

    async def handle(self, response: ReportAck) -> None:
        """Forget what the gate has taken over."""
        self._reports.acknowledge(self._address, response.report_sequence)
