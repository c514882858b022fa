"""The stream to one gate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import grpc.aio
from structlog.typing import FilteringBoundLogger

from hyperscale.manager.health import ManagerHealth
from hyperscale.manager.reporting import GateReports
from hyperscale.runtime.channels import ChannelPool
from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.links import LinkTimings, StreamLink
from hyperscale.runtime.outbox import Outgoing
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1.gate_ingest_service_pb2 import ManagerRegistration
from hyperscale.v1.gate_ingest_service_pb2_grpc import GateIngestServiceStub
from hyperscale.v1.node_pb2 import NodeInfo
from hyperscale.v1.progress_pb2 import ManagerReport, ReportAck

_MAX_KNOWN = 64


class GateIngestPeer:
    """A gate, as a link sees it."""

    def __init__(self, address: str, channels: ChannelPool, health: ManagerHealth, reports: GateReports) -> None:
        self._address = address
        self._channels = channels
        self._health = health
        self._reports = reports
        self._gate_id = ""
        self._known_gates: dict[str, str] | None = None

    @property
    def gate_id(self) -> str:
        """Node id of the gate that answered last; empty before the first answer."""
        return self._gate_id

    @property
    def known_gates(self) -> dict[str, str] | None:
        """Addresses of the gates that it has told of last, by node id; None: of none since it was connected."""
        return self._known_gates

    async def connect(self) -> grpc.aio.StreamStreamCall[ManagerReport, ReportAck]:
        """Register, open the stream, say hello with a heartbeat."""
        stub = self._channels.stub(self._address, GateIngestServiceStub)
        heartbeat = self._health.heartbeat()
        welcome = await stub.RegisterManager(ManagerRegistration(heartbeat=heartbeat))
        call = stub.StreamReports()
        await call.write(ManagerReport(heartbeat=heartbeat))
        self._gate_id = welcome.gate.node_id
        self._known_gates = None
        self._reports.met(self._address, self._gate_id)
        return call

    def encode(self, outgoing: Outgoing[ManagerReport]) -> ManagerReport:
        """The report under its sequence."""
        frame = ManagerReport(report_sequence=outgoing.sequence)
        frame.MergeFrom(outgoing.report)
        return frame

    async def handle(self, response: ReportAck) -> None:
        """Forget what the gate has taken over; note which gates there are."""
        self._reports.acknowledge(self._address, response.report_sequence)
        if response.HasField("known_gates"):
            self._known_gates = _addresses(response.known_gates.gates[:_MAX_KNOWN])


@dataclass(frozen=True, slots=True)
class GateLinkSurroundings:
    """What every link to a gate uses."""

    channels: ChannelPool
    health: ManagerHealth
    reports: GateReports
    supervisor: Supervisor
    logger: FilteringBoundLogger


class GateLink:
    """One gate: reports wait for it while it is away, and its final results also when it is given up."""

    def __init__(self, address: str, around: GateLinkSurroundings, timings: LinkTimings) -> None:
        self._address = address
        self._around = around
        self._peer = GateIngestPeer(address, around.channels, around.health, around.reports)
        self._link = StreamLink(
            f"gate-link-{address}",
            self._peer,
            around.reports.open(address),
            supervisor=around.supervisor,
            logger=around.logger,
            timings=timings,
        )

    @property
    def peer_id(self) -> str:
        """Node id of the gate; empty before it has answered for the first time."""
        return self._peer.gate_id

    @property
    def is_connected(self) -> bool:
        """Whether a stream is open."""
        return self._link.connected

    @property
    def is_settled(self) -> bool:
        """Always: what it does not deliver is held for the gate."""
        return True

    @property
    def known_gates(self) -> dict[str, str] | None:
        """Addresses of the gates that it knows, by node id; None while that is not known."""
        return self._peer.known_gates if self._link.connected else None

    def start(self) -> None:
        """Connect, and stay connected until `stop`."""
        self._link.start()

    async def stop(self) -> None:
        """Close the stream for good."""
        await self._link.stop()
        self._around.reports.close(self._address)
        self._around.channels.forget(self._address)


def _addresses(gates: Iterable[NodeInfo]) -> dict[str, str]:
    """Where gates listen, by node id; what is no address is left out, since others of the list may be right."""
    return {
        gate.node_id: Endpoint(gate.endpoint.host, gate.endpoint.port).address
        for gate in gates
        if gate.node_id and gate.endpoint.host and 0 < gate.endpoint.port < 1 << 16
    }
