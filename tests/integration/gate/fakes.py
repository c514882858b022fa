"""Real gates, and a manager that a test drives."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from hyperscale.v1 import (
    dispatch_pb2,
    gate_ingest_service_pb2,
    gate_service_pb2,
    job_pb2,
    manager_service_pb2,
    node_pb2,
    progress_pb2,
)
from hyperscale.v1.gate_ingest_service_pb2_grpc import GateIngestServiceStub
from hyperscale.v1.gate_service_pb2_grpc import GateServiceStub
from hyperscale.v1.manager_service_pb2_grpc import ManagerServiceServicer, add_ManagerServiceServicer_to_server
from tests.support.waiting import until, until_answer


@dataclass(slots=True)
class GateProcess:
    """One hyperscale-gate."""

    process: subprocess.Popen[bytes]
    address: str
    node_id: str
    options: tuple[str, ...]
    ready_file: Path

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=60)

    async def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.process.wait, 60)


class Gates:
    """Starts gates on one sqlite file; ends them with the test."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._started: list[subprocess.Popen[bytes]] = []

    async def start(self, node_id: str, *options: str, port: int = 0) -> GateProcess:
        ready_file = self._directory / f"{node_id}.ready"
        ready_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "hyperscale.gate", "--node-id", node_id, "--port", str(port)]
        command += ["--store-url", f"sqlite://{self._directory / 'gates.db'}", "--ready-file", str(ready_file)]
        command += ["--parent-pid", str(os.getpid()), *options]
        with (self._directory / f"{node_id}.log").open("ab") as log:
            process = subprocess.Popen(command, stderr=log)
        self._started.append(process)
        await until(ready_file.exists, f"gate {node_id} ready")
        address = json.loads(ready_file.read_text())["address"]
        return GateProcess(process, address, node_id, options, ready_file)

    async def restart(self, gate: GateProcess) -> GateProcess:
        return await self.start(gate.node_id, *gate.options, port=int(gate.address.rpartition(":")[2]))

    def stop(self) -> None:
        for process in self._started:
            process.kill()
            process.wait(timeout=60)


class FakeManager(ManagerServiceServicer):
    """Leads a datacenter: takes jobs over, remembers cancellations, reports what it is told to report."""

    def __init__(self, datacenter: str, cluster_id: str = "hyperscale") -> None:
        self.datacenter = datacenter
        self.node = node_pb2.NodeInfo(
            node_id=f"manager-{datacenter}",
            role=node_pb2.NODE_ROLE_MANAGER,
            datacenter=datacenter,
            state=node_pb2.NODE_STATE_ACTIVE,
            cluster_id=cluster_id,
            environment_id="default",
        )
        self.dispatches: dict[str, dispatch_pb2.JobDispatch] = {}
        self.cancels: list[dispatch_pb2.JobCancelRequest] = []
        self.acked: dict[str, int] = {}
        self._reports: list[progress_pb2.ManagerReport] = []
        self._server = grpc.aio.server()

    async def SubmitJob(self, request: dispatch_pb2.JobDispatch, context: Any) -> job_pb2.JobAck:
        self.dispatches[request.job_id] = request
        return job_pb2.JobAck(job_id=request.job_id)

    async def CancelJob(self, request: dispatch_pb2.JobCancelRequest, context: Any) -> dispatch_pb2.JobCancelResponse:
        self.cancels.append(request)
        return dispatch_pb2.JobCancelResponse(job_id=request.job_id, status=job_pb2.JOB_STATUS_CANCELLING)

    async def QueryWorkflows(
        self, request: gate_service_pb2.WorkflowQueryRequest, context: Any
    ) -> manager_service_pb2.WorkflowQueryResponse:
        info = job_pb2.WorkflowStatusInfo(workflow_name="shop", job_id=request.job_id)
        return manager_service_pb2.WorkflowQueryResponse(workflows=[info])

    async def Ping(self, request: node_pb2.PingRequest, context: Any) -> manager_service_pb2.ManagerPingResponse:
        return manager_service_pb2.ManagerPingResponse(request_id=request.request_id)

    def report(self, **report: Any) -> None:
        self._reports.append(progress_pb2.ManagerReport(report_sequence=len(self._reports) + 1, **report))

    def heartbeat(self) -> progress_pb2.ManagerHeartbeat:
        beat = progress_pb2.ManagerHeartbeat(node=self.node, is_leader=True, term=1, total_cores=2, available_cores=2)
        beat.worker_count = beat.healthy_worker_count = 1
        return beat

    @asynccontextmanager
    async def serving(self, *gates: str) -> AsyncIterator[FakeManager]:
        add_ManagerServiceServicer_to_server(self, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.node.endpoint.CopyFrom(node_pb2.Endpoint(host="127.0.0.1", port=port))
        await self._server.start()
        tasks = [asyncio.ensure_future(self._stay_connected(gate)) for gate in gates]
        try:
            await until(lambda: len(self.acked) == len(gates), f"{self.datacenter} connected")
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._server.stop(0)

    async def _stay_connected(self, gate: str) -> None:
        while True:
            async with connected(gate) as channel:
                try:
                    await self._converse(gate, GateIngestServiceStub(channel))
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.1)

    async def _converse(self, gate: str, stub: GateIngestServiceStub) -> None:
        await stub.RegisterManager(gate_ingest_service_pb2.ManagerRegistration(heartbeat=self.heartbeat()), timeout=30)
        call = stub.StreamReports()
        await call.write(progress_pb2.ManagerReport(heartbeat=self.heartbeat()))
        await call.initial_metadata()
        acks = asyncio.ensure_future(self._read_acks(gate, call))
        self.acked[gate] = 0
        sent = 0
        beat_at = time.monotonic()
        try:
            while not acks.done():
                for report in self._reports[sent:]:
                    await call.write(report)
                    sent += 1
                if time.monotonic() - beat_at > 0.3:
                    beat_at = time.monotonic()
                    await call.write(progress_pb2.ManagerReport(heartbeat=self.heartbeat()))
                await asyncio.sleep(0.01)
            await acks
        finally:
            acks.cancel()
            call.cancel()
            await asyncio.gather(acks, return_exceptions=True)

    async def _read_acks(self, gate: str, call: Any) -> None:
        async for ack in call:
            self.acked[gate] = ack.report_sequence


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[grpc.aio.Channel]:
    """A channel that finds a restarted gate at once, and sends what is too large on purpose."""
    options = (
        ("grpc.max_send_message_length", -1),
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),
    )
    async with grpc.aio.insecure_channel(address, options) as channel:
        yield channel


@dataclass(slots=True)
class GateClient:
    """Calls to one gate."""

    stub: GateServiceStub

    async def submit(self, job: job_pb2.JobSubmission) -> job_pb2.JobAck:
        return await self.stub.SubmitJob(job, timeout=30)

    async def get(self, job_id: str) -> job_pb2.GlobalJobStatus:
        return await self.stub.GetJob(gate_service_pb2.GetJobRequest(job_id=job_id), timeout=30)

    async def cancel(self, job_id: str) -> job_pb2.JobStatus.ValueType:
        request = dispatch_pb2.JobCancelRequest(job_id=job_id, reason="enough")
        return (await self.stub.CancelJob(request, timeout=30)).status

    async def ended(self, job_id: str) -> job_pb2.GlobalJobResult:
        async def result() -> job_pb2.GlobalJobResult | None:
            status = await self.get(job_id)
            return status.result if status.HasField("result") else None

        return await until_answer(result, f"the end of {job_id}")

    def watch(self, job_id: str, after_sequence: int = 0) -> Any:
        request = gate_service_pb2.WatchJobRequest(job_id=job_id, after_sequence=after_sequence)
        return self.stub.WatchJob(request, timeout=30)


@asynccontextmanager
async def client_of(gate: GateProcess) -> AsyncIterator[GateClient]:
    async with connected(gate.address) as channel:
        yield GateClient(GateServiceStub(channel))
