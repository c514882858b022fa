"""What a worker finds wrong with what managers ask of it."""

from collections.abc import Callable

import pytest

from hyperscale.v1.dispatch_pb2 import ShardAttempts, WorkflowCancelRequest, WorkflowDispatch
from hyperscale.worker.validation import cancel_faults, dispatch_faults
from tests.support.fake_manager import http_dispatch

TARGET = "http://127.0.0.1:8080"


def without_load(dispatch: WorkflowDispatch) -> None:
    dispatch.workflow.ClearField("constant_vus")


def without_steps(dispatch: WorkflowDispatch) -> None:
    del dispatch.workflow.steps[:]


def without_target(dispatch: WorkflowDispatch) -> None:
    dispatch.target = ""


def without_cores(dispatch: WorkflowDispatch) -> None:
    dispatch.cores = 0


def with_an_endless_identity(dispatch: WorkflowDispatch) -> None:
    dispatch.shard_id = "x" * 513


@pytest.mark.parametrize(
    ("spoil", "path"),
    [
        (without_load, "workflow"),
        (without_steps, "workflow.steps"),
        (without_target, "workflow.steps[0].http.url"),
        (without_cores, "cores"),
        (with_an_endless_identity, "shard_id"),
    ],
)
def test_a_fault_is_named_by_its_path(spoil: Callable[[WorkflowDispatch], None], path: str) -> None:
    dispatch = http_dispatch(TARGET)
    spoil(dispatch)
    assert [fault.path for fault in dispatch_faults(dispatch)] == [path]


def test_a_share_without_users_on_many_cores_with_dependencies_is_fine() -> None:
    dispatch = http_dispatch(TARGET, vus=0, cores=64)
    dispatch.workflow.depends_on.append("another")
    assert dispatch_faults(dispatch) == []
    assert list(dispatch.workflow.depends_on) == ["another"]


@pytest.mark.parametrize(
    ("request_", "paths"),
    [
        (WorkflowCancelRequest(job_id="job", fence_token=1, shards=[ShardAttempts(shard_id="job/w/0")]), []),
        (WorkflowCancelRequest(), ["job_id", "fence_token"]),
        (
            WorkflowCancelRequest(
                job_id="job", fence_token=1, shards=[ShardAttempts(shard_id=one) for one in ("a", "")]
            ),
            ["shards[1].shard_id"],
        ),
        (WorkflowCancelRequest(job_id="job", fence_token=1, shards=[ShardAttempts(shard_id="a")] * 10_001), ["shards"]),
    ],
)
def test_cancellations_are_judged_too(request_: WorkflowCancelRequest, paths: list[str]) -> None:
    assert [fault.path for fault in cancel_faults(request_)] == paths
