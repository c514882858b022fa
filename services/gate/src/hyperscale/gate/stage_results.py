"""From what became of each stage in a datacenter to the datacenter's part of the job. Pure.

Laws: the parts of a job cover every one of its datacenters once; what stages have counted is never lost; only load has a
beginning and an end that count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hyperscale.gate.job_lifecycle import JobStatusValue, job_outcome
from hyperscale.gate.stages import LOAD, PLANS, TEARDOWN, StagePlan, has_stages
from hyperscale.v1 import job_pb2, record_pb2

NO_LOAD = "no load was made"


def datacenter_results(record: record_pb2.JobRecord) -> list[job_pb2.JobFinalResult]:
    """What each datacenter has to say of the whole job, from the results of its stages."""
    if not has_stages(record.submission):
        return [entry.result for entry in record.stage_results]
    return [_merged(record, name) for name in record.datacenters]


def lost_results(record: record_pb2.JobRecord, reason: str) -> list[record_pb2.StageResult]:
    """Results in place of those that were lost with the gate that had them, if any were."""
    known = {(entry.stage, entry.result.datacenter) for entry in record.stage_results}
    return [
        record_pb2.StageResult(stage=entry, result=_lost(record, name, reason))
        for entry in record.stages
        if entry != TEARDOWN
        for name in PLANS[entry](record).shares
        if (entry, name) not in known
    ]


def _lost(record: record_pb2.JobRecord, datacenter: str, reason: str) -> job_pb2.JobFinalResult:
    is_cancelled = record.status == job_pb2.JOB_STATUS_CANCELLING
    status = job_pb2.JOB_STATUS_CANCELLED if is_cancelled else job_pb2.JOB_STATUS_FAILED
    return job_pb2.JobFinalResult(job_id=record.job_id, datacenter=datacenter, status=status, errors=[reason])


def named(plan: StagePlan, datacenter: str) -> str:
    """What a stage is in a datacenter, for people: "setup of shop"; empty for load."""
    if plan.stage == LOAD or datacenter not in plan.shares:
        return ""
    names = [workflow.name.rpartition(".") for workflow in plan.shares[datacenter].workflows]
    return f"{names[0][2]} of {', '.join(name for name, _, _ in names)}"


def _merged(record: record_pb2.JobRecord, datacenter: str) -> job_pb2.JobFinalResult:
    entries = [entry for entry in record.stage_results if entry.result.datacenter == datacenter]
    load = next((entry.result for entry in entries if entry.stage == LOAD), None)
    merged = job_pb2.JobFinalResult(
        job_id=record.job_id,
        datacenter=datacenter,
        status=job_outcome([*map(_status, entries), *([] if load else [job_pb2.JOB_STATUS_CANCELLED])]),
        errors=list(_errors(record, datacenter, entries)),
        workflows=[info for entry in entries for info in entry.result.workflows],
        statistics=[statistics for entry in entries for statistics in entry.result.statistics],
    )
    for info in merged.workflows:
        info.job_id = record.job_id
    if load is not None:
        _take_times(merged, load)
    return merged


def _take_times(merged: job_pb2.JobFinalResult, load: job_pb2.JobFinalResult) -> None:
    merged.fence_token = load.fence_token
    if load.HasField("started_at"):
        merged.started_at.CopyFrom(load.started_at)
    if load.HasField("elapsed"):
        merged.elapsed.CopyFrom(load.elapsed)


def _status(entry: record_pb2.StageResult) -> JobStatusValue:
    """Nobody wishes a teardown to stop: one that was stopped has failed."""
    is_stopped = entry.stage == TEARDOWN and entry.result.status == job_pb2.JOB_STATUS_CANCELLED
    return job_pb2.JOB_STATUS_FAILED if is_stopped else entry.result.status


def _errors(record: record_pb2.JobRecord, datacenter: str, entries: Sequence[record_pb2.StageResult]) -> Iterable[str]:
    for entry in entries:
        what = named(PLANS[entry.stage](record), datacenter)
        yield from (f"{what}: {error}" if what else error for error in entry.result.errors)
    if not any(entry.stage == LOAD or entry.result.errors for entry in entries):
        yield NO_LOAD
