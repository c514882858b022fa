"""QueryWorkflows: from memory where the job runs under this manager, from the store otherwise."""

from __future__ import annotations

from hyperscale.manager.leadership import Leadership
from hyperscale.manager.ledger import DatacenterLedger
from hyperscale.manager.state import ManagerState
from hyperscale.manager.views import recorded_workflows, workflow_info
from hyperscale.v1.gate_service_pb2 import WorkflowQueryRequest
from hyperscale.v1.job_pb2 import WorkflowStatusInfo


class WorkflowQueries:
    """Answers on every manager: a follower knows what the leader has made durable."""

    def __init__(self, state: ManagerState, leadership: Leadership, ledger: DatacenterLedger) -> None:
        self._state = state
        self._leadership = leadership
        self._ledger = ledger

    async def find(self, request: WorkflowQueryRequest) -> list[WorkflowStatusInfo]:
        """Workflows of a job, or of all unfinished jobs; empty when the job is not known."""
        workflows = await (self._of_job(request.job_id) if request.job_id else self._of_unfinished())
        wanted = frozenset(request.workflow_names)
        return [workflow for workflow in workflows if not wanted or workflow.workflow_name in wanted]

    async def _of_job(self, job_id: str) -> list[WorkflowStatusInfo]:
        job = self._state.find(job_id)
        if job is not None:
            return [workflow_info(run) for run in job.workflows.values()]
        record = await self._ledger.find(job_id)
        return [] if record is None else recorded_workflows(record)

    async def _of_unfinished(self) -> list[WorkflowStatusInfo]:
        if self._leadership.is_ready:
            return [workflow_info(run) for job in self._state.jobs() for run in job.workflows.values()]
        return [
            workflow
            async for record in self._ledger.records()
            if not record.HasField("result")
            for workflow in recorded_workflows(record)
        ]
