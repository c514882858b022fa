"""A gate in memory, in front of datacenters that do what a test says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from google.protobuf.duration_pb2 import Duration

from hyperscale.gate.config import GateConfig
from hyperscale.gate.datacenter_calls import ManagerCalls
from hyperscale.gate.server import GateNode, GateSurroundings
from hyperscale.gate.stages import job_id_of
from hyperscale.gate.sync import ReportStream
from hyperscale.runtime.channels import ChannelPool
from hyperscale.runtime.clock import Clock, SystemClock
from hyperscale.runtime.coordination import MemoryStore, memory_coordinator
from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.runtime.telemetry import SilentMeter
from hyperscale.v1 import (
    dispatch_pb2,
    gate_service_pb2,
    job_pb2,
    manager_service_pb2,
    node_pb2,
    progress_pb2,
    statistics_pb2,
    workflow_pb2,
)
from hyperscale.v1.membership_service_pb2 import NodeListResponse, NodeStatus
from hyperscale.workload.statistics import WorkflowStatistics
from hyperscale.workload.timestamps import duration, timestamp
from tests.support.waiting import until, until_answer


def heartbeat(datacenter: str, /, **changes: Any) -> progress_pb2.ManagerHeartbeat:
    node = {
        "node_id": f"manager-{datacenter}",
        "role": node_pb2.NODE_ROLE_MANAGER,
        "datacenter": datacenter,
        "endpoint": node_pb2.Endpoint(host=datacenter, port=1),
        "state": node_pb2.NODE_STATE_ACTIVE,
        "cluster_id": "hyperscale",
        "environment_id": "default",
    }
    return progress_pb2.ManagerHeartbeat(
        node=node_pb2.NodeInfo(**{**node, **changes}),
        is_leader=True,
        term=1,
        worker_count=1,
        healthy_worker_count=1,
        total_cores=2,
        available_cores=2,
    )


def submission(
    *required: str, key: str = "", vus: int = 4, iterations: int = 0, timeout_seconds: float = 0, **fields: Any
) -> job_pb2.JobSubmission:
    workflow = workflow_pb2.Workflow(
        name="shop", steps=[workflow_pb2.Step(name="home", http=workflow_pb2.HttpRequest(url="/"))]
    )
    if iterations:
        workflow.shared_iterations.vus = vus
        workflow.shared_iterations.iterations = iterations
    else:
        workflow.constant_vus.vus = vus
        workflow.constant_vus.duration.FromSeconds(5)
    job = job_pb2.JobSubmission(
        name="test", idempotency_key=key, target="http://127.0.0.1:1", workflows=[workflow], **fields
    )
    job.datacenters.required.extend(required)
    if timeout_seconds:
        job.timeout.CopyFrom(Duration(nanos=int(timeout_seconds * 1e9)))
    return job


def measured(requests: int, failed: int = 0, latency_ms: float = 10.0) -> list[statistics_pb2.WorkflowStats]:
    statistics = WorkflowStatistics("shop")
    step = statistics.step("home")
    step.total_count = requests
    if failed:
        step.failures[statistics_pb2.ERROR_CLASS_CONNECT] = failed
    for _ in range(requests - failed):
        step.duration_ms.record(latency_ms)
    statistics.iterations = requests
    return [statistics.to_proto()]


@dataclass(slots=True)
class FakeDatacenters:
    """The managers behind a gate: records what they are told, answers as `answers` says (default: yes, at once)."""

    dispatches: dict[tuple[str, str], dispatch_pb2.JobDispatch] = field(default_factory=dict)
    cancels: list[tuple[str, dispatch_pb2.JobCancelRequest]] = field(default_factory=list)
    answers: dict[str, Exception] = field(default_factory=dict)
    delays_seconds: dict[str, float] = field(default_factory=dict)
    refusals: dict[str, Exception] = field(default_factory=dict)
    """Answers to jobs only."""
    lost_answers: set[str] = field(default_factory=set)
    """Who takes jobs over without the gate hearing of it."""
    on_dispatch: Callable[[str, dispatch_pb2.JobDispatch], None] | None = None
    on_cancel: Callable[[str, dispatch_pb2.JobCancelRequest], job_pb2.JobStatus.ValueType] | None = None

    async def submit_job(self, address: str, dispatch: dispatch_pb2.JobDispatch) -> job_pb2.JobAck:
        await self._answer(address)
        if address in self.refusals:
            raise self.refusals[address]
        self.dispatches[address, dispatch.job_id] = dispatch
        if self.on_dispatch is not None:
            self.on_dispatch(address, dispatch)
        if address in self.lost_answers:
            raise refusal(ErrorReason.DEADLINE_EXCEEDED)
        return job_pb2.JobAck(job_id=dispatch.job_id)

    async def cancel_job(self, address: str, request: dispatch_pb2.JobCancelRequest) -> dispatch_pb2.JobCancelResponse:
        await self._answer(address)
        self.cancels.append((address, request))
        status = job_pb2.JOB_STATUS_CANCELLING if self.on_cancel is None else self.on_cancel(address, request)
        return dispatch_pb2.JobCancelResponse(job_id=request.job_id, status=status)

    async def query_workflows(
        self, address: str, request: gate_service_pb2.WorkflowQueryRequest
    ) -> manager_service_pb2.WorkflowQueryResponse:
        await self._answer(address)
        info = job_pb2.WorkflowStatusInfo(workflow_name="shop", job_id=request.job_id)
        return manager_service_pb2.WorkflowQueryResponse(workflows=[info])

    async def list_nodes(self, address: str) -> NodeListResponse:
        await self._answer(address)
        name = address.partition(":")[0]
        node = node_pb2.NodeInfo(node_id=f"manager-{name}", role=node_pb2.NODE_ROLE_MANAGER, datacenter=name)
        return NodeListResponse(nodes=[NodeStatus(node=node)])

    async def _answer(self, address: str) -> None:
        await asyncio.sleep(self.delays_seconds.get(address, 0))
        if address in self.answers:
            raise self.answers[address]


@dataclass(slots=True)
class GateInMemory:
    """One gate with its fake datacenters."""

    node: GateNode
    datacenters: FakeDatacenters
    supervisor: Supervisor
    streams: dict[str, ReportStream] = field(default_factory=dict)

    async def connect(self, *datacenters: str) -> None:
        for name in datacenters:
            await self.node.registrations.register(heartbeat(name))
            self.streams[name] = self.node.ingestion.open()
            self.report(name, heartbeat=heartbeat(name))

    def report(self, datacenter: str, **report: Any) -> None:
        self.streams[datacenter].take(progress_pb2.ManagerReport(report_sequence=1, **report))

    def keep_alive(self, datacenter: str) -> None:
        """Let the gate hear of a datacenter as long as the test lasts."""

        async def heartbeats() -> None:
            while True:
                self.node.jobs.registry.hear(heartbeat(datacenter))
                await asyncio.sleep(0.05)

        _ = self.supervisor.start(heartbeats(), name=f"heartbeats of {datacenter}")

    def progress(self, datacenter: str, job_id: str, sequence: int, requests: int, **fields: Any) -> None:
        values: dict[str, Any] = {
            "fence_token": self.fence(job_id),
            "status": job_pb2.JOB_STATUS_RUNNING,
            "started_at": timestamp(time.time()),
            "elapsed": duration(0),
            "statistics": measured(requests),
        }
        progress = progress_pb2.JobProgress(
            job_id=job_id,
            datacenter=datacenter,
            progress_sequence=sequence,
            **{**values, **fields},
        )
        self.report(datacenter, progress=progress)

    def finish(
        self,
        datacenter: str,
        job_id: str,
        status: job_pb2.JobStatus.ValueType = job_pb2.JOB_STATUS_COMPLETED,
        requests: int = 0,
        **fields: Any,
    ) -> None:
        result = job_pb2.JobFinalResult(
            job_id=job_id,
            datacenter=datacenter,
            status=status,
            **{"statistics": measured(requests), "fence_token": self.fence(job_id), **fields},
        )
        self.report(datacenter, final_result=result)

    def fence(self, job_id: str) -> int:
        run = self.node.jobs.state.find(job_id_of(job_id))
        return 0 if run is None else run.lease.token

    def status(self, job_id: str) -> job_pb2.JobStatus.ValueType:
        run = self.node.jobs.state.find(job_id)
        assert run is not None
        return run.status

    async def submit(self, job: job_pb2.JobSubmission) -> str:
        return (await self.node.submissions.submit(job)).job_id

    async def dispatched(self, job_id: str, *datacenters: str) -> None:
        await until(lambda: all((f"{name}:1", job_id) in self.datacenters.dispatches for name in datacenters))

    async def ended(self, job_id: str) -> job_pb2.GlobalJobResult:
        """The result, from the store as every gate would answer."""

        async def result() -> job_pb2.GlobalJobResult | None:
            record = await self.node.jobs.store.get(job_id)
            return record.result if record is not None and record.HasField("result") else None

        return await until_answer(result)


def make_gate(
    store: MemoryStore,
    node_id: str = "g1",
    clock: Clock | None = None,
    calls: ManagerCalls | None = None,
    **options: Any,
) -> GateInMemory:
    """A gate with the machine's clock, before fake datacenters, unless told otherwise."""
    config = GateConfig(node_id=node_id, store_url="memory://", **{"routing_patience_seconds": 0.0, **options})
    logger = structlog.wrap_logger(
        structlog.testing.CapturingLogger(), processors=[], wrapper_class=structlog.make_filtering_bound_logger(0)
    )
    supervisor = Supervisor("gate", logger)
    datacenters = FakeDatacenters()
    around = GateSurroundings(
        memory_coordinator(store),
        calls or datacenters,
        ChannelPool(supervisor),
        supervisor,
        clock or SystemClock(),
        logger,
        SilentMeter(),
    )
    node = GateNode(config, around)
    node.lifecycle.listens_at(Endpoint("127.0.0.1", 1))
    return GateInMemory(node, datacenters, supervisor)


async def start(gate: GateInMemory, *datacenters: str) -> GateInMemory:
    await gate.node.recover()
    gate.node.activate()
    await gate.connect(*datacenters)
    return gate


def refusal(reason: ErrorReason, **metadata: str) -> HyperscaleError:
    return HyperscaleError(reason, metadata=metadata, retry_after_seconds=0)
