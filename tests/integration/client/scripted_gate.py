"""A gate that answers as a test tells it to, on a real socket."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from hyperscale.v1.dispatch_pb2 import JobCancelRequest, JobCancelResponse
from hyperscale.v1.gate_service_pb2 import (
    DatacenterInfo,
    DatacenterListRequest,
    DatacenterListResponse,
    DatacenterWorkflowStatus,
    GatePingResponse,
    GateWorkflowQueryResponse,
    GetJobRequest,
    JobEvent,
    JobStatusPush,
    JobSummary,
    JobWindow,
    ListJobsRequest,
    ListJobsResponse,
    WatchJobRequest,
    WorkflowQueryRequest,
)
from hyperscale.v1.gate_service_pb2_grpc import GateServiceServicer, add_GateServiceServicer_to_server
from hyperscale.v1.job_pb2 import (
    GlobalJobResult,
    GlobalJobStatus,
    JobAck,
    JobStatus,
    JobSubmission,
    Verdict,
    WorkflowStatusInfo,
)
from hyperscale.v1.membership_service_pb2 import NodeListRequest, NodeListResponse, NodeStatus
from hyperscale.v1.node_pb2 import NodeInfo, PingRequest
from hyperscale.v1.protocol import CAPABILITIES_METADATA_KEY, ERROR_DOMAIN, PROTOCOL_METADATA_KEY

Context = grpc.aio.ServicerContext[Any, Any]
JOB_ID = "local-1-gate-1-1"


@dataclass(frozen=True, slots=True)
class ScriptedError:
    """A refusal as nodes send it."""

    code: grpc.StatusCode
    reason: str
    leader: str = ""
    retry_after_seconds: float | None = None
    violations: Sequence[tuple[str, str]] = ()

    async def abort(self, context: Context) -> None:
        """End the call with this refusal."""
        details: list[Message] = [ErrorInfo(reason=self.reason, domain=ERROR_DOMAIN, metadata={"leader": self.leader})]
        if self.retry_after_seconds is not None:
            delay = Duration()
            delay.FromNanoseconds(int(self.retry_after_seconds * 1e9))
            details.append(RetryInfo(retry_delay=delay))
        if self.violations:
            faults = [BadRequest.FieldViolation(field=path, description=text) for path, text in self.violations]
            details.append(BadRequest(field_violations=faults))
        status = Status(code=self.code.value[0], message=self.reason.lower())
        for detail in details:
            packed = AnyMessage()
            packed.Pack(detail)
            status.details.append(packed)
        metadata = (("grpc-status-details-bin", status.SerializeToString()),)
        await context.abort(self.code, self.reason.lower(), metadata)


@dataclass(slots=True)
class Script:
    """What a gate has been asked, and what it is to answer."""

    errors: deque[ScriptedError] = field(default_factory=deque)
    """Given in order before any success."""
    events: list[JobEvent] = field(default_factory=list)
    break_after: deque[int] = field(default_factory=deque)
    """Events after which each stream in turn ends early; without an entry streams do not."""
    capabilities: str = "watch_resume,idempotency_keys,time_travel"
    submissions: list[JobSubmission] = field(default_factory=list)
    metadata: list[dict[str, str | bytes]] = field(default_factory=list)
    watches: list[int] = field(default_factory=list)
    """``after_sequence`` of each stream that was opened."""
    cancelled: list[str] = field(default_factory=list)
    result: GlobalJobResult | None = None


class ScriptedGate(GateServiceServicer):
    """Plays a script."""

    def __init__(self, script: Script) -> None:
        self._script = script

    async def _begin(self, context: Context) -> None:
        script = self._script
        script.metadata.append(dict(context.invocation_metadata() or ()))
        trailing = ((PROTOCOL_METADATA_KEY, "1.7"), (CAPABILITIES_METADATA_KEY, script.capabilities))
        context.set_trailing_metadata(trailing)
        if script.errors:
            await script.errors.popleft().abort(context)

    async def SubmitJob(self, request: JobSubmission, context: Context) -> JobAck:
        self._script.submissions.append(request)
        await self._begin(context)
        return JobAck(job_id=JOB_ID, gate_id="gate-1")

    async def GetJob(self, request: GetJobRequest, context: Context) -> GlobalJobStatus:
        await self._begin(context)
        return GlobalJobStatus(job_id=request.job_id, status=JobStatus.JOB_STATUS_RUNNING, result=self._script.result)

    async def ListJobs(self, request: ListJobsRequest, context: Context) -> ListJobsResponse:
        await self._begin(context)
        start = int(request.page_token or 0)
        jobs = [JobSummary(job_id=f"job-{number}") for number in range(start, start + request.page_size)]
        return ListJobsResponse(jobs=jobs, next_page_token=str(start + request.page_size))

    async def WatchJob(self, request: WatchJobRequest, context: Context) -> AsyncIterator[JobEvent]:
        self._script.watches.append(request.after_sequence)
        await self._begin(context)
        limit = self._script.break_after.popleft() if self._script.break_after else None
        fresh = [event for event in self._script.events if event.sequence > request.after_sequence]
        for event in fresh[:limit]:
            yield event
        if limit is not None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the gate goes down")

    async def CancelJob(self, request: JobCancelRequest, context: Context) -> JobCancelResponse:
        await self._begin(context)
        self._script.cancelled.append(request.job_id)
        return JobCancelResponse(job_id=request.job_id, status=JobStatus.JOB_STATUS_CANCELLING)

    async def QueryWorkflows(self, request: WorkflowQueryRequest, context: Context) -> GateWorkflowQueryResponse:
        await self._begin(context)
        workflows = [WorkflowStatusInfo(workflow_name=name, job_id=request.job_id) for name in request.workflow_names]
        return GateWorkflowQueryResponse(
            datacenters=[
                DatacenterWorkflowStatus(datacenter="dc-1", workflows=workflows),
                DatacenterWorkflowStatus(datacenter="dc-2", error="no manager answers"),
            ]
        )

    async def ListDatacenters(self, request: DatacenterListRequest, context: Context) -> DatacenterListResponse:
        await self._begin(context)
        return DatacenterListResponse(datacenters=[DatacenterInfo(datacenter="dc-1", available=True, total_cores=4)])

    async def ListNodes(self, request: NodeListRequest, context: Context) -> NodeListResponse:
        await self._begin(context)
        return NodeListResponse(nodes=[NodeStatus(node=NodeInfo(node_id="gate-1"))])

    async def Ping(self, request: PingRequest, context: Context) -> GatePingResponse:
        return GatePingResponse(request_id=request.request_id)


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[str]:
    """The address of a gate that plays the script."""
    server = grpc.aio.server()
    add_GateServiceServicer_to_server(ScriptedGate(script), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


def status_event(sequence: int, status: JobStatus.ValueType = JobStatus.JOB_STATUS_RUNNING) -> JobEvent:
    return JobEvent(job_id=JOB_ID, sequence=sequence, status=JobStatusPush(status=status))


def window_event(sequence: int) -> JobEvent:
    return JobEvent(job_id=JOB_ID, sequence=sequence, window=JobWindow())


def result_event(sequence: int, verdict: Verdict.ValueType = Verdict.VERDICT_PASSED) -> JobEvent:
    status = JobStatus.JOB_STATUS_COMPLETED
    return JobEvent(job_id=JOB_ID, sequence=sequence, result=GlobalJobResult(status=status, verdict=verdict))
