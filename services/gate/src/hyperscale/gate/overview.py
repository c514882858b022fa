"""Questions about many jobs or many datacenters."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from hyperscale.gate.census import NodeCensus
from hyperscale.gate.datacenter_calls import DatacenterCaller, ManagerCalls
from hyperscale.gate.federation import DatacenterWatch
from hyperscale.gate.job_desk import JobDesk
from hyperscale.gate.job_lifecycle import TERMINAL
from hyperscale.gate.registry import ManagerRegistry
from hyperscale.gate.reunion import DatacenterReunion
from hyperscale.gate.routing import DatacenterRouting
from hyperscale.gate.stages import dispatch_id_of, job_id_of, last_stage
from hyperscale.gate.state import GateState
from hyperscale.gate.store import JobStore
from hyperscale.routing.models.candidates import DatacenterHealth
from hyperscale.runtime.errors import ErrorReason, FieldViolation, HyperscaleError
from hyperscale.runtime.lifecycle import NodeLifecycle
from hyperscale.v1 import gate_service_pb2, record_pb2
from hyperscale.v1.membership_service_pb2 import GateVitals, NodeListResponse
from hyperscale.v1.swim_pb2 import (
    SWIM_DATACENTER_HEALTH_BUSY,
    SWIM_DATACENTER_HEALTH_DEGRADED,
    SWIM_DATACENTER_HEALTH_HEALTHY,
    SWIM_DATACENTER_HEALTH_UNHEALTHY,
    SwimDatacenterHealth,
)

_HEALTH: Final[Mapping[DatacenterHealth, SwimDatacenterHealth.ValueType]] = {
    DatacenterHealth.HEALTHY: SWIM_DATACENTER_HEALTH_HEALTHY,
    DatacenterHealth.BUSY: SWIM_DATACENTER_HEALTH_BUSY,
    DatacenterHealth.DEGRADED: SWIM_DATACENTER_HEALTH_DEGRADED,
    DatacenterHealth.UNHEALTHY: SWIM_DATACENTER_HEALTH_UNHEALTHY,
}
_DEFAULT_PAGE = 100
_MAX_PAGE = 1000
_MAX_TOKEN_CHARACTERS = 300


class DatacenterOverview:
    """What a gate says of each datacenter, put together from who knows it."""

    def __init__(self, registry: ManagerRegistry, watch: DatacenterWatch, routing: DatacenterRouting) -> None:
        self._registry = registry
        self._watch = watch
        self._routing = routing

    def infos(self) -> list[gate_service_pb2.DatacenterInfo]:
        """Every datacenter that has registered, by name."""
        infos = [self._watch.describe(info) for info in self._registry.datacenters()]
        findings = self._routing.findings()
        for info in infos:
            finding = findings[info.datacenter]
            info.health, info.health_reason = _HEALTH[finding.health], finding.reason
        return infos


class GateViews:
    """What a gate says of itself and of its datacenters."""

    def __init__(
        self,
        *,
        lifecycle: NodeLifecycle,
        overview: DatacenterOverview,
        state: GateState,
        census: NodeCensus,
        reunion: DatacenterReunion,
    ) -> None:
        self._lifecycle = lifecycle
        self._overview = overview
        self._state = state
        self._census = census
        self._reunion = reunion

    def datacenters(self) -> gate_service_pb2.DatacenterListResponse:
        """The datacenters that have registered."""
        return gate_service_pb2.DatacenterListResponse(datacenters=self._overview.infos())

    async def nodes(self) -> NodeListResponse:
        """Every node of the cluster."""
        return await self._census.take()

    def vitals(self) -> GateVitals:
        """What the group of gates is told of this one."""
        return GateVitals(
            node=self._lifecycle.vitals(),
            active_jobs=len(self._state),
            awaits_datacenters=not self._reunion.is_complete(),
        )

    def ping(self, request_id: str) -> gate_service_pb2.GatePingResponse:
        """A sign of life."""
        return gate_service_pb2.GatePingResponse(
            request_id=request_id,
            node=self._lifecycle.info(),
            active_jobs=len(self._state),
            datacenters=self._overview.infos(),
        )


class JobListing:
    """Pages of all gates' jobs."""

    def __init__(self, store: JobStore) -> None:
        self._store = store

    async def page(self, request: gate_service_pb2.ListJobsRequest) -> gate_service_pb2.ListJobsResponse:
        """Jobs, newest first; raises INVALID_ARGUMENT."""
        violations = list(_page_faults(request))
        if violations:
            raise HyperscaleError(ErrorReason.INVALID_ARGUMENT, violations=violations)
        jobs, following = await self._store.page(request.page_size or _DEFAULT_PAGE, request.page_token)
        return gate_service_pb2.ListJobsResponse(jobs=jobs, next_page_token=following)


class WorkflowFanOut:
    """Asks the datacenters about workflows, all at the same time."""

    def __init__(self, desk: JobDesk, registry: ManagerRegistry, caller: DatacenterCaller, calls: ManagerCalls) -> None:
        self._desk = desk
        self._registry = registry
        self._caller = caller
        self._calls = calls

    async def query(self, request: gate_service_pb2.WorkflowQueryRequest) -> gate_service_pb2.GateWorkflowQueryResponse:
        """Workflows of a job, or of all unfinished jobs, by datacenter; raises JOB_NOT_FOUND."""
        if not request.job_id:
            return await self._ask_all(self._registry.datacenter_names, request)
        record = await self._desk.record(request.job_id)
        if record.status in TERMINAL:
            return _stored(record, request)
        stage = gate_service_pb2.WorkflowQueryRequest()
        stage.CopyFrom(request)
        stage.job_id = dispatch_id_of(record.job_id, last_stage(record))
        return await self._ask_all(list(record.datacenters), stage)

    async def _ask_all(
        self, datacenters: list[str], request: gate_service_pb2.WorkflowQueryRequest
    ) -> gate_service_pb2.GateWorkflowQueryResponse:
        answers = await asyncio.gather(*(self._ask(name, request) for name in datacenters))
        return gate_service_pb2.GateWorkflowQueryResponse(datacenters=answers)

    async def _ask(
        self, datacenter: str, request: gate_service_pb2.WorkflowQueryRequest
    ) -> gate_service_pb2.DatacenterWorkflowStatus:
        status = gate_service_pb2.DatacenterWorkflowStatus(datacenter=datacenter)
        try:
            answer = await self._caller.ask(datacenter, lambda address: self._calls.query_workflows(address, request))
        except HyperscaleError as error:
            status.error = error.message
            return status
        status.workflows.extend(answer.workflows)
        for workflow in status.workflows:
            workflow.job_id = job_id_of(workflow.job_id)
        return status


def _stored(
    record: record_pb2.JobRecord, request: gate_service_pb2.WorkflowQueryRequest
) -> gate_service_pb2.GateWorkflowQueryResponse:
    """The workflows as they were when the job ended."""
    names = set(request.workflow_names)
    return gate_service_pb2.GateWorkflowQueryResponse(
        datacenters=[
            gate_service_pb2.DatacenterWorkflowStatus(
                datacenter=part.result.datacenter,
                workflows=[
                    workflow for workflow in part.result.workflows if not names or workflow.workflow_name in names
                ],
            )
            for part in record.result.datacenters
        ]
    )


def _page_faults(request: gate_service_pb2.ListJobsRequest) -> list[FieldViolation]:
    token = request.page_token
    checks = (
        (request.page_size <= _MAX_PAGE, "page_size", f"must be from 0 to {_MAX_PAGE}"),
        (
            not token or (token.isprintable() and len(token) <= _MAX_TOKEN_CHARACTERS),
            "page_token",
            "is not from an earlier answer",
        ),
    )
    return [FieldViolation(path, message) for is_fine, path, message in checks if not is_fine]
