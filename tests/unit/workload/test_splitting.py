"""Dividing load: the sum is what was asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.v1 import job_pb2, workflow_pb2
from hyperscale.workload.profiles import load_iterations, load_vus
from hyperscale.workload.splitting import busy_places, has_work, split_by_weight, split_submission, split_workflow
from hyperscale.workload.validation import validate_share

WEIGHTS = st.lists(st.integers(0, 1000), min_size=1, max_size=20).filter(any)


@given(st.integers(0, 10**12), WEIGHTS)
def test_parts_add_up_and_are_proportional(total: int, weights: list[int]) -> None:
    parts = split_by_weight(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part * sum(weights) - total * weight) < sum(weights)
        assert weight or not part


@given(st.integers(0, 1000), WEIGHTS)
def test_more_weight_never_gets_less(total: int, weights: list[int]) -> None:
    ordered = sorted(weights, reverse=True)
    parts = split_by_weight(total, ordered)
    assert parts == sorted(parts, reverse=True)


@pytest.mark.parametrize(("total", "weights"), [(1, [0, 0]), (1, []), (-1, [1]), (1, [2, -1])])
def test_what_cannot_be_divided_is_refused(total: int, weights: list[int]) -> None:
    with pytest.raises(ValueError, match=r"divided|negative"):
        split_by_weight(total, weights)


def test_nothing_is_divided_into_nothing() -> None:
    assert split_by_weight(0, [0, 0]) == [0, 0]


@given(st.integers(1, 500), st.integers(1, 5000), WEIGHTS)
def test_iterations_follow_the_users(vus: int, iterations: int, weights: list[int]) -> None:
    workflow = workflow_pb2.Workflow(name="w")
    workflow.shared_iterations.vus = vus
    workflow.shared_iterations.iterations = iterations
    workflow.shared_iterations.max_duration.seconds = 5
    parts = split_workflow(workflow, weights)
    assert [load_vus(part) for part in parts] == split_by_weight(vus, weights)
    assert sum(load_iterations(part) or 0 for part in parts) == iterations
    for part in parts:
        assert load_vus(part) or not load_iterations(part)
        assert (part.name, part.shared_iterations.max_duration.seconds) == ("w", 5)


def ramp(users: int) -> workflow_pb2.Workflow:
    workflow = workflow_pb2.Workflow(name="w")
    workflow.ramping_vus.stages.add(target=users).duration.seconds = 1
    return workflow


@given(st.integers(0, 100), st.integers(1, 40))
def test_every_busy_place_has_a_user_and_nobody_is_lost(users: int, places: int) -> None:
    count = busy_places(ramp(users), places)
    assert count <= min(users, places)
    assert (count > 0) == (users > 0)
    parts = split_workflow(ramp(users), [1] * count)
    assert sum(map(load_vus, parts)) == users
    assert all(map(has_work, parts))
    assert sum(part.data_share.size for part in parts) == (2**62 if users else 0)


@given(st.integers(1, 100), WEIGHTS)
def test_parts_without_a_user_have_no_data_of_their_own(users: int, weights: list[int]) -> None:
    parts = split_workflow(ramp(users), weights)
    assert sum(part.data_share.size for part in parts) == 2**62
    assert all(load_vus(part) or not part.data_share.size for part in parts)


def job(distribution: job_pb2.Distribution.ValueType) -> job_pb2.JobSubmission:
    submission = job_pb2.JobSubmission(name="j", target="http://h", distribution=distribution)
    submission.datacenters.required.extend(["eu", "us"])
    for name, vus in [("a", 10), ("b", 1)]:
        workflow = submission.workflows.add(name=name)
        workflow.constant_vus.vus = vus
        workflow.constant_vus.duration.seconds = 3
        workflow.steps.add(name="s").http.url = "/"
    return submission


def test_a_replicated_job_runs_whole_everywhere() -> None:
    submission = job(job_pb2.DISTRIBUTION_UNSPECIFIED)
    shares = split_submission(submission, ["eu", "us"])
    for share in shares.values():
        for workflow in share.workflows:
            # Only what is unique in the whole run is divided.
            workflow.ClearField("data_share")
    assert shares == {"eu": submission, "us": submission}


def test_a_split_job_is_divided_by_weight() -> None:
    submission = job(job_pb2.DISTRIBUTION_SPLIT)
    submission.datacenters.weights["eu"] = 3
    shares = split_submission(submission, ["eu", "us"])
    vus = {name: [load_vus(workflow) for workflow in share.workflows] for name, share in shares.items()}
    assert vus == {"eu": [8, 1], "us": [2, 0]}
    assert all(validate_share(share) == [] for share in shares.values())
    assert shares["us"].target == "http://h"
    assert [load_vus(workflow) for workflow in submission.workflows] == [10, 1]


def _data_parts(shares: dict[str, job_pb2.JobSubmission]) -> list[tuple[int, int]]:
    parts = [share.workflows[0].data_share for share in shares.values()]
    return [(part.start, part.start + part.size) for part in parts]


@pytest.mark.parametrize("distribution", [job_pb2.DISTRIBUTION_SPLIT, job_pb2.DISTRIBUTION_REPLICATE])
def test_what_is_unique_is_divided_over_datacenters_and_within_them(
    distribution: job_pb2.Distribution.ValueType,
) -> None:
    submission = job_pb2.JobSubmission(distribution=distribution)
    submission.workflows.add(name="w").constant_vus.vus = 6
    shares = split_submission(submission, ["a", "b", "c"])
    parts = _data_parts(shares)
    assert parts[0][0] == 0
    assert parts[-1][1] == 2**62
    assert [end for _, end in parts[:-1]] == [start for start, _ in parts[1:]]
    inner = split_workflow(shares["b"].workflows[0], [1, 1])
    assert inner[0].data_share.start == parts[1][0]
    assert inner[0].data_share.start + inner[0].data_share.size == inner[1].data_share.start
    assert inner[1].data_share.start + inner[1].data_share.size == parts[1][1]
