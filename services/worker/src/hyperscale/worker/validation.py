"""Judges a dispatch by the contract, and tells every fault at once."""

from __future__ import annotations

from hyperscale.v1.dispatch_pb2 import WorkflowCancelRequest, WorkflowDispatch
from hyperscale.v1.job_pb2 import JobSubmission
from hyperscale.workload.faults import Fault
from hyperscale.workload.validation import validate_share

_MAX_IDENTITY_LENGTH = 512
_MAX_CANCELLED_SHARDS = 10_000
_JOB_PATH = "workflows[0]"


def dispatch_faults(dispatch: WorkflowDispatch) -> list[Fault]:
    """Faults of a dispatch; more cores than users are none, the surplus is not used."""
    return [*_envelope_faults(dispatch), *_workflow_faults(dispatch)]


def cancel_faults(request: WorkflowCancelRequest) -> list[Fault]:
    """Faults of a cancellation."""
    faults = [*_identity_faults("job_id", request.job_id), *_positive_faults("fence_token", request.fence_token)]
    if len(request.shards) > _MAX_CANCELLED_SHARDS:
        return [*faults, Fault("shards", f"must be at most {_MAX_CANCELLED_SHARDS:,}")]
    named = enumerate(request.shards)
    return [
        *faults,
        *(fault for at, one in named for fault in _identity_faults(f"shards[{at}].shard_id", one.shard_id)),
    ]


def _envelope_faults(dispatch: WorkflowDispatch) -> list[Fault]:
    return [
        *_identity_faults("job_id", dispatch.job_id),
        *_identity_faults("shard_id", dispatch.shard_id),
        *_positive_faults("attempt", dispatch.attempt),
        *_positive_faults("fence_token", dispatch.fence_token),
        *_positive_faults("cores", dispatch.cores),
        *_identity_faults("manager_id", dispatch.manager_id),
    ]


def _identity_faults(path: str, identity: str) -> list[Fault]:
    if 1 <= len(identity) <= _MAX_IDENTITY_LENGTH:
        return []
    return [Fault(path, f"must have 1 to {_MAX_IDENTITY_LENGTH} characters")]


def _positive_faults(path: str, number: int) -> list[Fault]:
    return [] if number >= 1 else [Fault(path, "must be at least 1")]


def _workflow_faults(dispatch: WorkflowDispatch) -> list[Fault]:
    if not dispatch.HasField("workflow"):
        return [Fault("workflow", "is required")]
    job = JobSubmission(
        target=dispatch.target,
        workflows=[dispatch.workflow],
        http_options=dispatch.http_options,
        variables=dispatch.variables,
    )
    if dispatch.HasField("bundle"):
        job.bundle.CopyFrom(dispatch.bundle)
    # Dependencies are the manager's business, and name workflows that are not here.
    del job.workflows[0].depends_on[:]
    return [Fault(fault.path.replace(_JOB_PATH, "workflow", 1), fault.message) for fault in validate_share(job)]
