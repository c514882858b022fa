"""The stages of a job: its setups, its load, its teardowns. Pure.

Laws: each stage is a job of its own in the datacenters, under an identity of its own, so that a datacenter runs it at most
once whoever asks how often; a stage that has begun is in the record before any datacenter hears of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from hyperscale.v1 import job_pb2, record_pb2, workflow_pb2
from hyperscale.workload.once import is_once_per_job, setups_of, teardown_of
from hyperscale.workload.splitting import split_submission
from hyperscale.workload.workflow_names import SETUP_SUFFIX, TEARDOWN_SUFFIX

JobStageValue: TypeAlias = record_pb2.JobStage.ValueType

SETUP: Final = record_pb2.JOB_STAGE_SETUP
LOAD: Final = record_pb2.JOB_STAGE_LOAD
TEARDOWN: Final = record_pb2.JOB_STAGE_TEARDOWN

_SUFFIXES: Final = {SETUP: SETUP_SUFFIX, TEARDOWN: TEARDOWN_SUFFIX}


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What datacenters run in a stage, and under which identity.

    Attributes
    ----------
    shares
        What each datacenter runs; those that have nothing to do are left out.
    contexts
        What setups have provided to each of them.
    """

    stage: JobStageValue
    dispatch_id: str
    shares: Mapping[str, job_pb2.JobSubmission]
    contexts: Mapping[str, Sequence[job_pb2.WorkflowContext]] = field(default_factory=dict)


def moved(plan: StagePlan, datacenter: str, successor: str) -> StagePlan:
    """The stage when another datacenter runs the whole of what was meant for one; the others keep what they have."""

    def place(name: str) -> str:
        return successor if name == datacenter else name

    return replace(
        plan,
        shares={place(name): share for name, share in plan.shares.items()},
        contexts={place(name): contexts for name, contexts in plan.contexts.items()},
    )


def dispatch_id_of(job_id: str, stage: JobStageValue) -> str:
    """Identity of a stage in the datacenters; that of the load is the job's."""
    return job_id + _SUFFIXES.get(stage, "")


def job_id_of(dispatch_id: str) -> str:
    """The job that a stage belongs to."""
    return dispatch_id.removesuffix(SETUP_SUFFIX).removesuffix(TEARDOWN_SUFFIX)


def has_stages(submission: job_pb2.JobSubmission) -> bool:
    """Whether there is more to a job than its load."""
    return any(workflow.setup or workflow.teardown for workflow in submission.workflows)


def last_stage(record: record_pb2.JobRecord) -> JobStageValue:
    """The stage that was begun last, as far as the record says."""
    return record.stages[-1] if record.stages else LOAD


def owes_teardown(record: record_pb2.JobRecord) -> bool:
    """Whether something was begun that a teardown belongs to."""
    return any(_is_owed(record, workflow) for workflow in record.submission.workflows)


def setup_plan(record: record_pb2.JobRecord) -> StagePlan:
    """The setups: what is done once per job in the first datacenter."""
    shares = {
        name: _share(record, setups_of(record.submission.workflows, is_first_datacenter=index == 0))
        for index, name in enumerate(record.datacenters)
    }
    used = {name: share for name, share in shares.items() if share.workflows}
    return StagePlan(SETUP, dispatch_id_of(record.job_id, SETUP), used)


def load_plan(record: record_pb2.JobRecord) -> StagePlan:
    """The load, with what setups have provided."""
    shares = split_submission(record.submission, list(record.datacenters))
    contexts = {name: _contexts(record, name, "") for name in shares}
    return StagePlan(LOAD, dispatch_id_of(record.job_id, LOAD), shares, contexts)


def teardown_plan(record: record_pb2.JobRecord) -> StagePlan:
    """The teardowns: what is done once per job in the datacenter that the record names for it."""
    shares = {name: _share(record, list(_teardowns(record, name))) for name in record.datacenters}
    used = {name: share for name, share in shares.items() if share.workflows}
    contexts = {name: _contexts(record, name, TEARDOWN_SUFFIX) for name in used}
    return StagePlan(TEARDOWN, dispatch_id_of(record.job_id, TEARDOWN), used, contexts)


PLANS: Final = {SETUP: setup_plan, LOAD: load_plan, TEARDOWN: teardown_plan}
"""How each stage is planned, in the order in which they come."""


def _is_owed(record: record_pb2.JobRecord, workflow: workflow_pb2.Workflow) -> bool:
    return bool(workflow.teardown) and (SETUP if workflow.setup else LOAD) in record.stages


def _teardowns(record: record_pb2.JobRecord, datacenter: str) -> Iterator[workflow_pb2.Workflow]:
    for workflow in record.submission.workflows:
        is_here = not is_once_per_job(workflow) or datacenter == record.teardown_datacenter
        if not is_here or not _is_owed(record, workflow):
            continue
        provided = {value.name for value in _provided_to(record, datacenter)[workflow.name]}
        teardown = teardown_of(workflow, provided)
        if teardown is not None:
            yield teardown


def _provided_to(record: record_pb2.JobRecord, datacenter: str) -> Mapping[str, list[job_pb2.ContextValue]]:
    """By workflow, what its setup has provided to a datacenter."""
    is_shared = {workflow.name: is_once_per_job(workflow) for workflow in record.submission.workflows}
    found: defaultdict[str, list[job_pb2.ContextValue]] = defaultdict(list)
    for result in (entry.result for entry in record.stage_results if entry.stage == SETUP):
        for context in result.provided:
            name = context.workflow_name.removesuffix(SETUP_SUFFIX)
            if is_shared.get(name) or result.datacenter == datacenter:
                found[name].extend(context.values)
    return found


def _contexts(record: record_pb2.JobRecord, datacenter: str, suffix: str) -> list[job_pb2.WorkflowContext]:
    return [
        job_pb2.WorkflowContext(workflow_name=name + suffix, values=values)
        for name, values in _provided_to(record, datacenter).items()
        if values
    ]


def _share(record: record_pb2.JobRecord, workflows: Iterable[workflow_pb2.Workflow]) -> job_pb2.JobSubmission:
    job = record.submission
    share = job_pb2.JobSubmission(
        name=job.name,
        target=job.target,
        workflows=workflows,
        http_options=job.http_options,
        variables=job.variables,
    )
    if any(workflow.class_name for workflow in share.workflows):
        share.bundle.CopyFrom(job.bundle)
    return share
