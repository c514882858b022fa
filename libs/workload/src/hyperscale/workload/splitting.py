"""Division of load over places. What the parts have in sum is what was asked, always."""

from __future__ import annotations

from collections.abc import Sequence

from hyperscale.v1 import job_pb2, workflow_pb2
from hyperscale.workload.defaults import datacenter_weight, distribution_of
from hyperscale.workload.profiles import load_iterations, load_part, load_vus
from hyperscale.workload.shares import LoadPart


def split_by_weight(total: int, weights: Sequence[int]) -> list[int]:
    """Divide a whole number by weight, by largest remainder.

    The parts add up to `total`; each is its proportional share rounded down or up. Equal remainders favour the earlier
    part, and a part of weight 0 gets nothing. Raises ValueError when a weight or the total is negative, or when all
    weights are 0 and there is something to divide.
    """
    if total < 0 or any(weight < 0 for weight in weights):
        raise ValueError("total and weights must not be negative")
    weight_sum = sum(weights)
    if not weight_sum:
        if total:
            raise ValueError(f"{total} cannot be divided: no part has any weight")
        return [0] * len(weights)
    parts = [total * weight // weight_sum for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda part: -(total * weights[part] % weight_sum))
    for part in by_remainder[: total - sum(parts)]:
        parts[part] += 1
    return parts


def split_workflow(workflow: workflow_pb2.Workflow, weights: Sequence[int]) -> list[workflow_pb2.Workflow]:
    """One part of the workflow per weight: users by weight, iterations and the load's share by the users each part got.

    A load that changes over time stays whole in every part, whose share says which of its items are meant. A part may
    have no users, and then has no iterations; a part with users may have no iterations when there are fewer iterations
    than parts.
    """
    vus = split_by_weight(load_vus(workflow), weights)
    iterations = split_by_weight(load_iterations(workflow) or 0, vus)
    shares = load_part(workflow).divide(vus)
    parts = [_part(workflow, *load) for load in zip(vus, iterations, shares, strict=True)]
    _divide_data(workflow, parts, [load_vus(part) for part in parts])
    return parts


def has_work(part: workflow_pb2.Workflow) -> bool:
    """Whether the part ever has a user with something to do. Of a ramp of few users a part may have none."""
    return load_vus(part) > 0 and load_iterations(part) != 0


def busy_places(workflow: workflow_pb2.Workflow, places: int) -> int:
    """Most places, up to so many, over which the workflow can be divided equally with work for each; 0 when it has none."""
    return next(
        (count for count in range(places, 0, -1) if all(map(has_work, split_workflow(workflow, [1] * count)))), 0
    )


def _divide_data(
    workflow: workflow_pb2.Workflow, parts: Sequence[workflow_pb2.Workflow], weights: Sequence[int]
) -> None:
    """Give each part its share of what is unique in the whole run."""
    whole = LoadPart.of(workflow.data_share if workflow.HasField("data_share") else None)
    for part, share in zip(parts, whole.divide(weights), strict=True):
        part.data_share.CopyFrom(share.to_proto())


def _part(workflow: workflow_pb2.Workflow, vus: int, iterations: int, share: LoadPart) -> workflow_pb2.Workflow:
    part = workflow_pb2.Workflow()
    part.CopyFrom(workflow)
    part.share.CopyFrom(share.to_proto())
    match part.WhichOneof("load"):
        case "constant_vus":
            part.constant_vus.vus = vus
        case "per_vu_iterations":
            part.per_vu_iterations.vus = vus
        case "shared_iterations":
            part.shared_iterations.vus = vus
            part.shared_iterations.iterations = iterations
    return part


def split_submission(submission: job_pb2.JobSubmission, datacenters: Sequence[str]) -> dict[str, job_pb2.JobSubmission]:
    """What each datacenter runs: the whole job when it is REPLICATE, its share when it is SPLIT.

    What is unique is so in all datacenters: each has its share of that either way.
    """
    shares = {datacenter: job_pb2.JobSubmission() for datacenter in datacenters}
    for share in shares.values():
        share.CopyFrom(submission)
    if distribution_of(submission) != job_pb2.DISTRIBUTION_SPLIT:
        for index, workflow in enumerate(submission.workflows):
            _divide_data(workflow, [share.workflows[index] for share in shares.values()], [1] * len(shares))
        return shares
    weights = [datacenter_weight(submission, datacenter) for datacenter in shares]
    for index, workflow in enumerate(submission.workflows):
        for share, part in zip(shares.values(), split_workflow(workflow, weights), strict=True):
            share.workflows[index].CopyFrom(part)
    return shares
