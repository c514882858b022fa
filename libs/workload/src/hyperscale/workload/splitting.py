"""Division of load over places. What the parts have in sum is what was asked, always."""

from __future__ import annotations

from collections.abc import Sequence

from hyperscale.v1 import job_pb2, workflow_pb2
from hyperscale.workload.defaults import datacenter_weight, distribution_of, load_iterations, load_vus


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


def _with_load(workflow: workflow_pb2.Workflow, vus: int, iterations: int) -> workflow_pb2.Workflow:
    part = workflow_pb2.Workflow()
    part.CopyFrom(workflow)
    if part.HasField("constant_vus"):
        part.constant_vus.vus = vus
    elif part.HasField("shared_iterations"):
        part.shared_iterations.vus = vus
        part.shared_iterations.iterations = iterations
    return part


def split_workflow(workflow: workflow_pb2.Workflow, weights: Sequence[int]) -> list[workflow_pb2.Workflow]:
    """One part of the workflow per weight: users by weight, iterations by the users each part got.

    A part may have no users, and then has no iterations; a part with users may have no iterations when there are fewer
    iterations than parts.
    """
    vus = split_by_weight(load_vus(workflow), weights)
    iterations = split_by_weight(load_iterations(workflow) or 0, vus)
    return [_with_load(workflow, *load) for load in zip(vus, iterations, strict=True)]


def split_submission(submission: job_pb2.JobSubmission, datacenters: Sequence[str]) -> dict[str, job_pb2.JobSubmission]:
    """What each datacenter runs: the whole job when it is REPLICATE, its share when it is SPLIT."""
    shares = {datacenter: job_pb2.JobSubmission() for datacenter in datacenters}
    for share in shares.values():
        share.CopyFrom(submission)
    if distribution_of(submission) != job_pb2.DISTRIBUTION_SPLIT:
        return shares
    weights = [datacenter_weight(submission, datacenter) for datacenter in shares]
    for index, workflow in enumerate(submission.workflows):
        for share, part in zip(shares.values(), split_workflow(workflow, weights), strict=True):
            share.workflows[index].CopyFrom(part)
    return shares
