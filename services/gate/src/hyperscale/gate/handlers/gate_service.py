"""GateService: what clients call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc.aio

from hyperscale.gate.job_desk import JobDesk
from hyperscale.gate.models.orders import CallOrigin
from hyperscale.gate.overview import GateViews, JobListing, WorkflowFanOut
from hyperscale.gate.submission import JobSubmissions
from hyperscale.runtime.lifecycle import NodeLifecycle
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1 import dispatch_pb2, gate_service_pb2, job_pb2, node_pb2
from hyperscale.v1.gate_service_pb2_grpc import GateServiceServicer
from hyperscale.v1.membership_service_pb2 import NodeListRequest, NodeListResponse
from hyperscale.v1.protocol import FORWARDED_METADATA_KEY, JOB_ID_METADATA_KEY


class GateServiceHandler(GateServiceServicer):
    """Translates calls of clients."""

    def __init__(
        self,
        *,
        lifecycle: NodeLifecycle,
        submissions: JobSubmissions,
        desk: JobDesk,
        listing: JobListing,
        queries: WorkflowFanOut,
        views: GateViews,
        supervisor: Supervisor,
    ) -> None:
        self._lifecycle = lifecycle
        self._submissions = submissions
        self._desk = desk
        self._listing = listing
        self._queries = queries
        self._views = views
        self._supervisor = supervisor

    async def SubmitJob(
        self, request: job_pb2.JobSubmission, context: grpc.aio.ServicerContext[Any, Any]
    ) -> job_pb2.JobAck:
        """Accept a job."""
        # Once it is durable it must begin, whether or not the client still waits.
        return await self._supervisor.see_through(
            self._submissions.submit(request, _given_id(context)), name="job-submission"
        )

    async def GetJob(
        self, request: gate_service_pb2.GetJobRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> job_pb2.GlobalJobStatus:
        """Say how a job stands."""
        self._lifecycle.require_active()
        return await self._desk.get(request, _origin(context))

    async def ListJobs(
        self, request: gate_service_pb2.ListJobsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> gate_service_pb2.ListJobsResponse:
        """List jobs, newest first."""
        self._lifecycle.require_active()
        return await self._listing.page(request)

    async def WatchJob(
        self, request: gate_service_pb2.WatchJobRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[gate_service_pb2.JobEvent]:
        """Stream what happens to a job."""
        self._lifecycle.require_active()
        async with aclosing(self._desk.watch(request, _origin(context))) as events:
            async for event in events:
                yield event

    async def CancelJob(
        self, request: dispatch_pb2.JobCancelRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> dispatch_pb2.JobCancelResponse:
        """Cancel a job, durably."""
        self._lifecycle.require_active()
        return await self._desk.cancel(request, _origin(context))

    async def QueryWorkflows(
        self, request: gate_service_pb2.WorkflowQueryRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> gate_service_pb2.GateWorkflowQueryResponse:
        """Ask the datacenters about workflows."""
        self._lifecycle.require_active()
        return await self._queries.query(request)

    async def ListDatacenters(
        self, request: gate_service_pb2.DatacenterListRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> gate_service_pb2.DatacenterListResponse:
        """List the datacenters."""
        self._lifecycle.require_active()
        return self._views.datacenters()

    async def ListNodes(
        self, request: NodeListRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> NodeListResponse:
        """List the nodes of the cluster."""
        self._lifecycle.require_active()
        return await self._views.nodes()

    async def Ping(
        self, request: node_pb2.PingRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> gate_service_pb2.GatePingResponse:
        """Answer."""
        return self._views.ping(request.request_id)


def _origin(context: grpc.aio.ServicerContext[Any, Any]) -> CallOrigin:
    return CallOrigin.GATE if FORWARDED_METADATA_KEY in _metadata(context) else CallOrigin.CLIENT


def _given_id(context: grpc.aio.ServicerContext[Any, Any]) -> str | None:
    """The identity under which another gate passes a job on; None: a client submits it."""
    return str(_metadata(context).get(JOB_ID_METADATA_KEY, "")) if _origin(context) is CallOrigin.GATE else None


def _metadata(context: grpc.aio.ServicerContext[Any, Any]) -> dict[str, str | bytes]:
    return dict(context.invocation_metadata() or ())
