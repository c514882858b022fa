"""The course of a job as others find it in the store: its status in lists, and the stage that it has entered.

Laws: a stage is entered once, and durably before any datacenter hears of it; a teardown that was entered before is the same
one, in the same datacenters.
"""

from __future__ import annotations

from hyperscale.gate.job_lifecycle import JobStatusValue
from hyperscale.gate.job_run import JobRun
from hyperscale.gate.persistence import written
from hyperscale.gate.routing import DatacenterRouting
from hyperscale.gate.stages import (
    LOAD,
    PLANS,
    TEARDOWN,
    JobStageValue,
    StagePlan,
    has_stages,
    owes_teardown,
)
from hyperscale.gate.store import JobStore
from hyperscale.runtime.coordination import CoordinationUnavailableError
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1 import record_pb2


class JobCourse:
    """Notes how jobs go on."""

    def __init__(self, store: JobStore, routing: DatacenterRouting, supervisor: Supervisor) -> None:
        self._store = store
        self._routing = routing
        self._supervisor = supervisor

    async def show_status(self, run: JobRun) -> JobStatusValue:
        """Bring lists of jobs up to date; returns the status they show."""
        async with run.durable:
            record = run.record
            record.status = run.status
            try:
                await self._store.note_status(record, run.lease)
            except CoordinationUnavailableError as error:
                self._supervisor.report(error, "job-status", job_id=run.job_id)
            return record.status

    async def enter(self, run: JobRun, stage: JobStageValue) -> StagePlan | None:
        """Begin a stage, as soon as that is durable; None when it is not due. Raises `LeaseLostError`."""
        if not has_stages(run.submission):
            return run.plan if stage == LOAD else None
        return await written(run, lambda: self._enter(run, stage), self._supervisor, "job-stage")

    async def _enter(self, run: JobRun, stage: JobStageValue) -> StagePlan | None:
        async with run.durable:
            if not _is_due(run, stage):
                return None
            record = self._next_record(run, stage)
            plan = PLANS[stage](record)
            if not plan.shares:
                return None
            await self._store.update(record, run.lease)
            run.enter(plan, record)
            return plan

    def _next_record(self, run: JobRun, stage: JobStageValue) -> record_pb2.JobRecord:
        record = run.record
        record.status = run.status
        results = run.results
        del record.stage_results[:]
        record.stage_results.extend(results)
        if stage not in record.stages:
            record.stages.append(stage)
            if stage == TEARDOWN:
                record.teardown_datacenter = self._routing.one_of(record.job_id, list(record.datacenters))
        return record


def _is_due(run: JobRun, stage: JobStageValue) -> bool:
    """Whether a stage is next; what was begun before is never begun again, but a teardown is seen to its end."""
    record = run.record
    if stage == TEARDOWN:
        return owes_teardown(record)
    if run.stop is not None or stage in record.stages:
        return False
    return stage == LOAD or any(workflow.setup for workflow in record.submission.workflows)
