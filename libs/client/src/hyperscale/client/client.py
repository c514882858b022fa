"""The asynchronous client: every operation of the gates, safe to repeat, over several gates."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Self

import grpc

from hyperscale.client.calls import GateCaller
from hyperscale.client.errors import JobNotFinishedError, NotAGateError, SubmissionTooLargeError
from hyperscale.client.gates import GatePool, open_channel
from hyperscale.client.misdirection import not_a_gate
from hyperscale.client.models.pings import Answer, NodePing
from hyperscale.client.models.settings import ClientSettings
from hyperscale.client.names import status_name
from hyperscale.client.negotiation import Negotiation
from hyperscale.client.status_details import refusal_of
from hyperscale.client.watching import JobWatch
from hyperscale.v1.dispatch_pb2 import JobCancelRequest, JobCancelResponse
from hyperscale.v1.gate_service_pb2 import (
    DatacenterInfo,
    DatacenterListRequest,
    DatacenterWorkflowStatus,
    GatePingResponse,
    GetJobRequest,
    JobEvent,
    JobSummary,
    ListJobsRequest,
    WatchJobRequest,
    WorkflowQueryRequest,
)
from hyperscale.v1.job_pb2 import GlobalJobResult, GlobalJobStatus, JobAck, JobSubmission
from hyperscale.v1.manager_service_pb2 import ManagerPingResponse
from hyperscale.v1.manager_service_pb2_grpc import ManagerServiceStub
from hyperscale.v1.membership_service_pb2 import NodeListRequest, NodeListResponse
from hyperscale.v1.node_pb2 import PingRequest
from hyperscale.v1.protocol import MAX_SUBMISSION_BYTES

_JOBS_PER_PAGE = 100


class Client:
    """Talks to the gates of one cluster. Use as an async context manager.

    Parameters
    ----------
    gates
        ``host:port`` of one gate or more; any of them serves, the others stand by.
    settings
        Deadlines, retries and credentials.

    Raises
    ------
    GateUnreachableError
        From every operation: no gate answered in time.
    NotAGateError
        From every operation: what answers at an address is not a gate.
    CallRefusedError
        From every operation: a gate refused, with reason and faults.
    """

    def __init__(self, gates: Sequence[str], settings: ClientSettings | None = None) -> None:
        self._settings = settings if settings is not None else ClientSettings()
        self._pool = GatePool(gates, self._settings.credentials)
        self._negotiation = Negotiation()
        self._caller = GateCaller(self._pool, self._settings, self._negotiation)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    @property
    def gates(self) -> tuple[str, ...]:
        """The configured gates."""
        return self._pool.addresses

    @property
    def capabilities(self) -> frozenset[str] | None:
        """Features that client and gate both speak; None until a gate has said what it speaks."""
        return self._negotiation.capabilities

    @property
    def gate_protocol(self) -> str | None:
        """Protocol version of the gate that answered last."""
        return self._negotiation.gate_protocol

    async def submit(self, submission: JobSubmission, idempotency_key: str | None = None) -> JobAck:
        """Submit a job; when it returns, the job is durable.

        Parameters
        ----------
        submission
            The job; it is not changed.
        idempotency_key
            Submissions with the same key are one job. Default: the submission's own key, else a fresh one,
            so that a retry of a lost answer never starts the job twice.

        Raises
        ------
        SubmissionTooLargeError
            The submission is above the limit of the protocol; nothing was sent.
        """
        keyed = JobSubmission()
        keyed.CopyFrom(submission)
        keyed.idempotency_key = idempotency_key or submission.idempotency_key or uuid.uuid4().hex
        size_bytes = keyed.ByteSize()
        if size_bytes > MAX_SUBMISSION_BYTES:
            raise SubmissionTooLargeError(size_bytes, MAX_SUBMISSION_BYTES)
        return await self._caller.call(lambda stub: stub.SubmitJob, keyed)

    async def watch(self, job_id: str, after_sequence: int = 0) -> AsyncGenerator[JobEvent, None]:
        """Yield what happens to a job, each event once and in order, until its result.

        Survives the loss of gates: it goes on at another one after the last sequence seen. A snapshot stands for
        events no gate has any more.
        """
        request = WatchJobRequest(job_id=job_id, after_sequence=after_sequence)
        watch = JobWatch(self._pool, self._caller, self._settings, request)
        async with aclosing(watch.events()) as events:
            async for event in events:
                yield event

    async def get(self, job_id: str) -> GlobalJobStatus:
        """How a job stands, with its result once it has ended."""
        return await self._caller.call(lambda stub: stub.GetJob, GetJobRequest(job_id=job_id))

    async def result(self, job_id: str, wait_seconds: float = 0.0) -> GlobalJobResult:
        """The result of a job.

        Parameters
        ----------
        job_id
            The job.
        wait_seconds
            How long to wait for the job to end; ``math.inf``: as long as it takes.

        Raises
        ------
        JobNotFinishedError
            The job has not ended within ``wait_seconds``.
        """
        status = await self.get(job_id)
        if status.HasField("result"):
            return status.result
        if wait_seconds > 0:
            result = await self._wait_for_result(job_id, wait_seconds)
            if result is not None:
                return result
        raise JobNotFinishedError(job_id, status_name(status.status))

    async def _wait_for_result(self, job_id: str, wait_seconds: float) -> GlobalJobResult | None:
        try:
            async with asyncio.timeout(None if wait_seconds == float("inf") else wait_seconds):
                return await self._last_event(job_id)
        except TimeoutError:
            return None

    async def _last_event(self, job_id: str) -> GlobalJobResult | None:
        async with aclosing(self.watch(job_id)) as events:
            results = [event.result async for event in events if event.HasField("result")]
        return results[0] if results else None

    async def cancel(self, job_id: str, reason: str = "") -> JobCancelResponse:
        """Stop a job; when it returns, the cancellation is durable. Repeating it is harmless."""
        return await self._caller.call(lambda stub: stub.CancelJob, JobCancelRequest(job_id=job_id, reason=reason))

    async def jobs(self, limit: int = 100) -> list[JobSummary]:
        """The newest jobs, newest first, at most ``limit``."""
        found: list[JobSummary] = []
        page_token = ""
        while len(found) < limit:
            request = ListJobsRequest(page_size=min(_JOBS_PER_PAGE, limit - len(found)), page_token=page_token)
            page = await self._caller.call(lambda stub: stub.ListJobs, request)
            found.extend(page.jobs)
            page_token = page.next_page_token
            if not page_token:
                break
        return found[:limit]

    async def query_workflows(
        self, job_id: str = "", workflow_names: Sequence[str] = ()
    ) -> list[DatacenterWorkflowStatus]:
        """Workflows by datacenter: of one job, or of all that have not ended."""
        request = WorkflowQueryRequest(job_id=job_id, workflow_names=workflow_names)
        return list((await self._caller.call(lambda stub: stub.QueryWorkflows, request)).datacenters)

    async def datacenters(self) -> list[DatacenterInfo]:
        """The datacenters that have registered, by name."""
        response = await self._caller.call(lambda stub: stub.ListDatacenters, DatacenterListRequest())
        return list(response.datacenters)

    async def nodes(self) -> NodeListResponse:
        """Every node of the cluster as the gate and the datacenters see it, and the datacenters that did not answer."""
        return await self._caller.call(lambda stub: stub.ListNodes, NodeListRequest())

    async def ping(self) -> list[NodePing[GatePingResponse]]:
        """Ask every configured gate at once whether it answers; silence is an answer too, never an error."""

        async def ask(address: str) -> GatePingResponse:
            gate, timeout_seconds = self._pool.gate(address), self._settings.connect_timeout_seconds
            try:
                return await gate.stub.Ping(_ping_request(), timeout=timeout_seconds)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                    raise
                raise await not_a_gate(gate, timeout_seconds) or error from error

        return await _ping_all(self.gates, ask)

    async def ping_managers(self, addresses: Sequence[str]) -> list[NodePing[ManagerPingResponse]]:
        """Ask managers at once, each over a connection of its own, whether they answer."""

        async def ask(address: str) -> ManagerPingResponse:
            async with open_channel(address, self._settings.credentials) as channel:
                timeout_seconds = self._settings.connect_timeout_seconds
                return await ManagerServiceStub(channel).Ping(_ping_request(), timeout=timeout_seconds)

        return await _ping_all(addresses, ask)


def _ping_request() -> PingRequest:
    return PingRequest(request_id=uuid.uuid4().hex)


async def _ping_all(addresses: Sequence[str], ask: Callable[[str], Awaitable[Answer]]) -> list[NodePing[Answer]]:
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(_ping_one(address, ask)) for address in addresses]
    return [task.result() for task in asked]


async def _ping_one(address: str, ask: Callable[[str], Awaitable[Answer]]) -> NodePing[Answer]:
    started = time.perf_counter()
    try:
        answer = await ask(address)
    except grpc.aio.AioRpcError as error:
        return NodePing(address, (time.perf_counter() - started) * 1000, error=refusal_of(error).message)
    except NotAGateError as error:
        return NodePing(address, (time.perf_counter() - started) * 1000, error=str(error))
    return NodePing(address, (time.perf_counter() - started) * 1000, answer)
