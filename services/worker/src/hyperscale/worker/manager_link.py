"""The connection to one manager: register, open the stream, and deliver reports until they are acknowledged."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import grpc.aio
from structlog.typing import FilteringBoundLogger

from hyperscale.runtime.channels import ChannelPool
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.links import LinkTimings, StreamLink
from hyperscale.runtime.outbox import Delivery, Outbox, Outgoing
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1.manager_ingest_service_pb2 import WorkerRegistration
from hyperscale.v1.manager_ingest_service_pb2_grpc import ManagerIngestServiceStub
from hyperscale.v1.progress_pb2 import ShardStatus, WorkerReport, WorkflowProgress, WorkflowProgressAck
from hyperscale.worker.health import Pulse

_HEARTBEAT_KEY = "heartbeat"
# A manager counts a worker as lost after three seconds without a stream: come back sooner than that.
_TIMINGS = LinkTimings(max_delay_seconds=1.0)


class IngestPeer:
    """A manager as the link sees it: what to say first, how a report is packed, what an answer means."""

    def __init__(
        self, stub: ManagerIngestServiceStub, pulse: Pulse, outbox: Outbox[WorkerReport], welcomed: asyncio.Event
    ) -> None:
        self._stub = stub
        self._pulse = pulse
        self._outbox = outbox
        self._welcomed = welcomed
        self._acknowledged = asyncio.Event()
        self._manager_id = ""
        self._acknowledged_sequence = 0

    @property
    def manager_id(self) -> str:
        """Node id of the manager that answered last; empty before the first answer."""
        return self._manager_id

    @property
    def acknowledged_sequence(self) -> int:
        """Highest sequence that the manager has taken over."""
        return self._acknowledged_sequence

    async def connect(self) -> grpc.aio.StreamStreamCall[WorkerReport, WorkflowProgressAck]:
        """Register, and open a stream that begins with a heartbeat, which says whose it is."""
        answer = await self._stub.RegisterWorker(WorkerRegistration(heartbeat=self._pulse.heartbeat()))
        self._manager_id = answer.manager.node_id
        call = self._stub.StreamProgress()
        await call.write(WorkerReport(heartbeat=self._pulse.heartbeat()))
        self._welcomed.set()
        return call

    def encode(self, outgoing: Outgoing[WorkerReport]) -> WorkerReport:
        """The report under its sequence."""
        outgoing.report.report_sequence = outgoing.sequence
        return outgoing.report

    async def handle(self, response: WorkflowProgressAck) -> None:
        """Forget what the manager has taken over, and hand on what it answers."""
        self._acknowledged_sequence = max(self._acknowledged_sequence, response.report_sequence)
        self._outbox.ack(response.report_sequence)
        self._acknowledged.set()
        self._pulse.answered(response.extensions)

    async def acknowledged(self, sequence: int) -> None:
        """Wait until the manager has taken over the report with a sequence."""
        while self._acknowledged_sequence < sequence:
            self._acknowledged.clear()
            await self._acknowledged.wait()


@dataclass(frozen=True, slots=True)
class LinkSurroundings:
    """What every link of a worker uses."""

    channels: ChannelPool
    supervisor: Supervisor
    clock: Clock
    logger: FilteringBoundLogger
    outbox_capacity: int


class ManagerLink:
    """One manager of the datacenter; reports wait here while it is away."""

    def __init__(self, address: str, pulse: Pulse, surroundings: LinkSurroundings, welcomed: asyncio.Event) -> None:
        stub = surroundings.channels.stub(address, ManagerIngestServiceStub)
        self._outbox: Outbox[WorkerReport] = Outbox(surroundings.outbox_capacity)
        self._peer = IngestPeer(stub, pulse, self._outbox, welcomed)
        self._link = StreamLink(
            f"manager-{address}",
            self._peer,
            self._outbox,
            supervisor=surroundings.supervisor,
            logger=surroundings.logger,
            timings=_TIMINGS,
        )
        self._pulse = pulse
        self._clock = surroundings.clock
        self._connected_at = self._clock.monotonic()
        self._progress_sequence = 0

    @property
    def peer_id(self) -> str:
        """Node id of the manager; empty before it has answered for the first time."""
        return self._peer.manager_id

    @property
    def is_connected(self) -> bool:
        """Whether a stream is open."""
        return self._link.connected

    @property
    def down_since(self) -> float | None:
        """When the manager was last seen connected, in monotonic seconds, give or take a heartbeat; None: it is now."""
        return None if self._link.connected else self._connected_at

    @property
    def is_settled(self) -> bool:
        """Whether the manager has acknowledged every report on a shard."""
        return self._peer.acknowledged_sequence >= self._progress_sequence

    async def settled(self) -> None:
        """Wait until that is so."""
        await self._peer.acknowledged(self._progress_sequence)

    @property
    def is_overfull(self) -> bool:
        """Whether so many final results wait that no more work should be taken from this manager."""
        return self._outbox.fill > 1

    def start(self) -> None:
        """Connect, and stay connected until `stop`."""
        self._link.start()

    async def stop(self) -> None:
        """Close the stream."""
        await self._link.stop()

    def beat(self) -> None:
        """Tell the manager the worker's state; a state that it has not got yet is replaced."""
        if self._link.connected:
            self._connected_at = self._clock.monotonic()
        self._outbox.put(WorkerReport(heartbeat=self._pulse.heartbeat()), _HEARTBEAT_KEY, Delivery.DROPPABLE)

    def report(self, progress: WorkflowProgress) -> None:
        """Deliver a report on a shard, sooner or later.

        Totals are cumulative, so that progress may make room for newer progress when the outbox is full; the end of a
        shard stays until it is acknowledged.
        """
        is_running = progress.status == ShardStatus.SHARD_STATUS_RUNNING
        self._progress_sequence = self._outbox.put(
            WorkerReport(progress=progress), delivery=Delivery.DROPPABLE if is_running else Delivery.REQUIRED
        )
