"""The neighbours of a manager: a gate that records what it is told, and workers that do what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Self

import grpc.aio

from hyperscale.v1.dispatch_pb2 import (
    WorkflowCancelRequest,
    WorkflowCancelResponse,
    WorkflowDispatch,
    WorkflowDispatchAck,
)
from hyperscale.v1.gate_ingest_service_pb2 import ManagerRegistration, ManagerRegistrationResponse
from hyperscale.v1.gate_ingest_service_pb2_grpc import (
    GateIngestServiceServicer,
    add_GateIngestServiceServicer_to_server,
)
from hyperscale.v1.job_pb2 import JobFinalResult
from hyperscale.v1.manager_ingest_service_pb2 import WorkerRegistration
from hyperscale.v1.manager_ingest_service_pb2_grpc import ManagerIngestServiceStub
from hyperscale.v1.node_pb2 import NODE_ROLE_GATE, NodeInfo, PingRequest
from hyperscale.v1.progress_pb2 import (
    SHARD_STATUS_CANCELLED,
    SHARD_STATUS_COMPLETED,
    SHARD_STATUS_RUNNING,
    JobProgress,
    KnownGates,
    ManagerHeartbeat,
    ManagerReport,
    ReportAck,
    ShardStatus,
    WorkerHeartbeat,
    WorkerReport,
    WorkflowProgressAck,
)
from hyperscale.v1.statistics_pb2 import StatsWindow
from hyperscale.v1.worker_service_pb2 import WorkerPingResponse
from hyperscale.v1.worker_service_pb2_grpc import WorkerServiceServicer, add_WorkerServiceServicer_to_server
from hyperscale.workload.timestamps import timestamp
from tests.support.shards import progress_of, stats, worker_heartbeat
from tests.support.waiting import until

GATE_ID = "gate-1"


@dataclass(slots=True)
class FakeGate(GateIngestServiceServicer):
    """Records frames in the order of their coming and acknowledges them, unless told otherwise."""

    port: int = 0
    gate_id: str = GATE_ID
    acknowledges: bool = True
    known_gates: KnownGates | None = None
    heartbeats: list[ManagerHeartbeat] = field(default_factory=list)
    frames: list[ManagerReport] = field(default_factory=list)
    _server: grpc.aio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, at the same port as before when there was one."""
        self._server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        add_GateIngestServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        """Break every connection."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def progress(self, job_id: str) -> list[JobProgress]:
        """Reports on a job, in the order of their coming."""
        return [frame.progress for frame in self.frames if frame.progress.job_id == job_id]

    def result(self, job_id: str) -> JobFinalResult | None:
        """The final result of a job, if it has come."""
        return next((f.final_result for f in self.frames if f.final_result.job_id == job_id), None)

    async def final(self, job_id: str) -> JobFinalResult:
        """Wait for the final result of a job."""
        await until(lambda: self.result(job_id) is not None, f"the end of {job_id}")
        result = self.result(job_id)
        assert result is not None
        return result

    async def RegisterManager(
        self, request: ManagerRegistration, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ManagerRegistrationResponse:
        self.heartbeats.append(request.heartbeat)
        return ManagerRegistrationResponse(gate=NodeInfo(node_id=self.gate_id, role=NODE_ROLE_GATE))

    async def StreamReports(
        self, request_iterator: AsyncIterator[ManagerReport], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[ReportAck]:
        async for frame in request_iterator:
            if frame.HasField("heartbeat"):
                self.heartbeats.append(frame.heartbeat)
            else:
                self.frames.append(frame)
            if self.acknowledges:
                yield ReportAck(report_sequence=frame.report_sequence, known_gates=self.known_gates)


@dataclass(slots=True)
class FakeWorker(WorkerServiceServicer):
    """Takes shards and reports on them when the test says so."""

    worker_id: str
    cores: int
    manager: str
    refusal: grpc.StatusCode | None = None
    loses_answers: bool = False
    orders: dict[str, WorkflowDispatch] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    acknowledged: int = 0
    _active: set[str] = field(default_factory=set)
    _sequences: dict[str, int] = field(default_factory=dict)
    _report_sequence: int = 0
    _port: int = 0
    _server: grpc.aio.Server | None = None
    _channel: grpc.aio.Channel | None = None
    _call: Any = None
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self._server = grpc.aio.server()
        add_WorkerServiceServicer_to_server(self, self._server)
        self._port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.disconnect()
        if self._server is not None:
            await self._server.stop(None)

    async def register(self, **changes: str) -> None:
        """Introduce itself, perhaps falsely."""
        self._channel = self._channel or grpc.aio.insecure_channel(self.manager)
        heartbeat = self._heartbeat()
        for name, value in changes.items():
            setattr(heartbeat.node, name, value)
        await ManagerIngestServiceStub(self._channel).RegisterWorker(WorkerRegistration(heartbeat=heartbeat))

    async def connect(self) -> None:
        """Register and open the stream."""
        await self.register()
        assert self._channel is not None
        self._call = ManagerIngestServiceStub(self._channel).StreamProgress()
        await self._call.write(WorkerReport(heartbeat=self._heartbeat()))
        self._tasks = [asyncio.ensure_future(self._listen(self._call)), asyncio.ensure_future(self._beat())]

    async def disconnect(self) -> None:
        """Break the connection, as a killed process would."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._channel is not None:
            await self._channel.close(None)
            self._channel = None

    async def given(self, shard_id: str) -> WorkflowDispatch:
        """Wait until the worker has a shard."""
        await until(lambda: shard_id in self.orders, f"dispatch of {shard_id} to {self.worker_id}")
        return self.orders[shard_id]

    async def report(
        self, shard_id: str, status: ShardStatus.ValueType = SHARD_STATUS_RUNNING, requests: int = 0, **fields: Any
    ) -> None:
        """Report on a shard."""
        order = self.orders[shard_id]
        self._sequences[shard_id] = self._sequences.get(shard_id, 0) + 1
        if status != SHARD_STATUS_RUNNING:
            self._active.discard(shard_id)
        started_at = timestamp(1_700_000_000)
        progress = progress_of(
            order, self._sequences[shard_id], requests, status=status, started_at=started_at, **fields
        )
        self._report_sequence += 1
        await self._call.write(WorkerReport(report_sequence=self._report_sequence, progress=progress))

    async def run(self, shard_id: str, requests: int) -> None:
        """Take a shard to its end."""
        await self.given(shard_id)
        window = StatsWindow(window_start=timestamp(1_700_000_000), stats=stats("browse", requests))
        await self.report(shard_id, requests=requests // 2, windows=[window])
        await self.report(shard_id, SHARD_STATUS_COMPLETED, requests)

    async def DispatchWorkflow(
        self, request: WorkflowDispatch, context: grpc.aio.ServicerContext[Any, Any]
    ) -> WorkflowDispatchAck:
        if self.refusal is not None:
            await context.abort(self.refusal, "refused")
        self.orders[request.shard_id] = request
        self._active.add(request.shard_id)
        if self.loses_answers:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke on the way back")
        return WorkflowDispatchAck(shard_id=request.shard_id, cores_assigned=request.cores)

    async def CancelWorkflow(
        self, request: WorkflowCancelRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> WorkflowCancelResponse:
        shard_ids = [one.shard_id for one in request.shards]
        self.cancelled.extend(shard_ids)
        return WorkflowCancelResponse(cancelling_shard_ids=shard_ids)

    async def Ping(self, request: PingRequest, context: grpc.aio.ServicerContext[Any, Any]) -> WorkerPingResponse:
        return WorkerPingResponse(request_id=request.request_id, heartbeat=self._heartbeat())

    async def confirm_cancel(self, shard_id: str, requests: int) -> None:
        """Wait until told to stop a shard, then stop it."""
        await until(lambda: shard_id in self.cancelled, f"cancellation of {shard_id}")
        await self.report(shard_id, SHARD_STATUS_CANCELLED, requests)

    async def _listen(self, call: Any) -> None:
        ack: WorkflowProgressAck
        async for ack in call:
            self.acknowledged = max(self.acknowledged, ack.report_sequence)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(0.3)
            await self._call.write(WorkerReport(heartbeat=self._heartbeat()))

    def _heartbeat(self) -> WorkerHeartbeat:
        return worker_heartbeat(self.worker_id, self._port or 1, self.cores, *sorted(self._active))
