"""Jobs as others read them: for gates, for the store, for people. Pure."""

from __future__ import annotations

import math

from hyperscale.manager.models.job import DatacenterJob, WorkflowRun
from hyperscale.v1.job_pb2 import (
    WORKFLOW_STATUS_DISPATCHED,
    WORKFLOW_STATUS_PENDING,
    JobFinalResult,
    JobStatus,
    WorkflowStatus,
    WorkflowStatusInfo,
    WorkflowTransition,
)
from hyperscale.v1.progress_pb2 import JobProgress
from hyperscale.v1.record_pb2 import DcJobRecord, ShardAssignment, ShardExtension
from hyperscale.v1.workflow_pb2 import Workflow
from hyperscale.workload.profiles import load_vus
from hyperscale.workload.timestamps import duration, duration_or_none, seconds_of, timestamp, timestamp_or_none


def workflow_info(run: WorkflowRun) -> WorkflowStatusInfo:
    """A workflow as it stands."""
    return WorkflowStatusInfo(
        workflow_name=run.key.workflow_name,
        job_id=run.key.job_id,
        status=run.lifecycle.status,
        reason=run.lifecycle.reason or _remark(run),
        provisioned_cores=run.cores,
        vus=run.users,
        assigned_workers=sorted({shard.worker_id for shard in run.shards if shard.is_with_worker}),
        history=[
            WorkflowTransition(status=change.status, at=timestamp(change.at_seconds), reason=change.reason)
            for change in run.lifecycle.history
        ],
    )


def _remark(run: WorkflowRun) -> str:
    """What there is to say of a workflow with which all is well."""
    if run.lifecycle.status == WORKFLOW_STATUS_PENDING:
        return run.waits_for
    extended_seconds = max((shard.extension.seconds for shard in run.shards), default=0.0)
    return f"its time was extended by {extended_seconds:g} s" if extended_seconds else ""


def job_progress(job: DatacenterJob, datacenter: str, now_monotonic: float) -> JobProgress:
    """How a job stands, under the next sequence number."""
    return JobProgress(
        job_id=job.job_id,
        datacenter=datacenter,
        fence_token=job.dispatch.fence_token,
        progress_sequence=job.next_progress_sequence(),
        status=job.lifecycle.status,
        workflows=[workflow_info(run) for run in job.workflows.values()],
        statistics=job.statistics.totals(),
        started_at=timestamp_or_none(job.first_load_at_seconds),
        elapsed=duration_or_none(_elapsed_seconds(job, now_monotonic)),
        extended_by=duration_or_none(job.extended_seconds or None),
    )


def final_result(job: DatacenterJob, datacenter: str) -> JobFinalResult:
    """The last word on a job whose status is terminal."""
    return JobFinalResult(
        job_id=job.job_id,
        datacenter=datacenter,
        status=job.lifecycle.status,
        errors=job.errors,
        workflows=[workflow_info(run) for run in job.workflows.values()],
        statistics=job.statistics.totals(),
        started_at=timestamp_or_none(job.first_load_at_seconds),
        elapsed=duration_or_none(_elapsed_seconds(job)),
        fence_token=job.dispatch.fence_token,
        provided=job.setup_context(),
        extended_by=duration_or_none(job.extended_seconds or None),
    )


def _elapsed_seconds(job: DatacenterJob, now_monotonic: float = -math.inf) -> float | None:
    return None if job.first_load_at_seconds is None else job.spans.seconds(now_monotonic)


def job_record(job: DatacenterJob) -> DcJobRecord:
    """What must survive of a job that has not ended."""
    return DcJobRecord(
        dispatch=job.dispatch,
        status=job.lifecycle.status,
        accepted_at=timestamp(job.accepted_at_seconds),
        assignments=[
            ShardAssignment(
                shard_id=shard.shard_id,
                attempt=shard.attempt,
                worker_id=shard.worker_id,
                cores=shard.cores,
                fence_token=job.leadership_token,
            )
            for shard in job.shards()
            if shard.is_with_worker
        ],
        extensions=[
            ShardExtension(
                shard_id=shard.shard_id,
                grants=shard.extension.grants,
                granted=duration(shard.extension.seconds),
                work_done=shard.extension.work_done,
            )
            for shard in job.shards()
            if shard.extension.grants
        ],
    )


def recorded_workflows(record: DcJobRecord) -> list[WorkflowStatusInfo]:
    """The workflows of a job that another manager runs, as far as its record tells."""
    if record.HasField("result"):
        return list(record.result.workflows)
    return [_recorded_workflow(record, workflow) for workflow in record.dispatch.submission.workflows]


def _recorded_workflow(record: DcJobRecord, workflow: Workflow) -> WorkflowStatusInfo:
    prefix = f"{record.dispatch.job_id}/{workflow.name}/"
    shards = [shard for shard in record.assignments if shard.shard_id.startswith(prefix)]
    return WorkflowStatusInfo(
        workflow_name=workflow.name,
        job_id=record.dispatch.job_id,
        status=WORKFLOW_STATUS_DISPATCHED if shards else WORKFLOW_STATUS_PENDING,
        provisioned_cores=sum(shard.cores for shard in shards),
        vus=load_vus(workflow),
        assigned_workers=sorted({shard.worker_id for shard in shards}),
    )


def abandoned_result(
    record: DcJobRecord, datacenter: str, status: JobStatus.ValueType, reason: str, now_seconds: float
) -> JobFinalResult:
    """The last word on a job whose leader is gone: what it had counted is gone with it."""
    workflow_status = _ABANDONED_AS[status]
    return JobFinalResult(
        job_id=record.dispatch.job_id,
        datacenter=datacenter,
        status=status,
        errors=[reason],
        workflows=[
            WorkflowStatusInfo(
                workflow_name=workflow.name,
                job_id=record.dispatch.job_id,
                status=workflow_status,
                reason=reason,
                vus=load_vus(workflow),
                history=[WorkflowTransition(status=workflow_status, at=timestamp(now_seconds), reason=reason)],
            )
            for workflow in record.dispatch.submission.workflows
        ],
        fence_token=record.dispatch.fence_token,
        extended_by=duration_or_none(max((seconds_of(each.granted) for each in record.extensions), default=None)),
    )


_ABANDONED_AS = {
    JobStatus.JOB_STATUS_FAILED: WorkflowStatus.WORKFLOW_STATUS_FAILED,
    JobStatus.JOB_STATUS_CANCELLED: WorkflowStatus.WORKFLOW_STATUS_CANCELLED,
}
