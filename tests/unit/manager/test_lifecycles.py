"""Statuses change only by their tables."""

from __future__ import annotations

import itertools

import pytest

from hyperscale.manager import job_lifecycle, workflow_lifecycle
from hyperscale.manager.workflow_lifecycle import WorkflowLifecycle
from hyperscale.runtime.transitions import IllegalTransitionError, Lifecycle
from hyperscale.v1.job_pb2 import (
    JOB_STATUS_CANCELLED,
    JOB_STATUS_CANCELLING,
    JOB_STATUS_COMPLETED,
    JOB_STATUS_FAILED,
    JOB_STATUS_SUBMITTED,
    JobStatus,
    WorkflowStatus,
)

W = WorkflowStatus
PATHS = {
    W.WORKFLOW_STATUS_PENDING: [],
    W.WORKFLOW_STATUS_DISPATCHED: [W.WORKFLOW_STATUS_DISPATCHED],
    W.WORKFLOW_STATUS_RUNNING: [W.WORKFLOW_STATUS_DISPATCHED, W.WORKFLOW_STATUS_RUNNING],
    W.WORKFLOW_STATUS_FAILED: [W.WORKFLOW_STATUS_FAILED],
    W.WORKFLOW_STATUS_CANCELLING: [W.WORKFLOW_STATUS_CANCELLING],
    W.WORKFLOW_STATUS_CANCELLED: [W.WORKFLOW_STATUS_CANCELLING, W.WORKFLOW_STATUS_CANCELLED],
}
PATHS[W.WORKFLOW_STATUS_COMPLETED] = [*PATHS[W.WORKFLOW_STATUS_RUNNING], W.WORKFLOW_STATUS_COMPLETED]
PATHS[W.WORKFLOW_STATUS_AGGREGATED] = [*PATHS[W.WORKFLOW_STATUS_COMPLETED], W.WORKFLOW_STATUS_AGGREGATED]
PATHS[W.WORKFLOW_STATUS_AGGREGATION_FAILED] = [
    *PATHS[W.WORKFLOW_STATUS_COMPLETED],
    W.WORKFLOW_STATUS_AGGREGATION_FAILED,
]


STATUSES = [W.Value(name) for name in W.keys()[1:]]


@pytest.mark.requirement("AD-33.1")
@pytest.mark.parametrize(("current", "wanted"), list(itertools.product(STATUSES, STATUSES)))
def test_a_workflow_changes_only_by_the_table(
    current: WorkflowStatus.ValueType, wanted: WorkflowStatus.ValueType
) -> None:
    lifecycle = WorkflowLifecycle("browse", 1.0)
    for status in PATHS[current]:
        lifecycle.move(status, 2.0)
    before = lifecycle.history
    if wanted in workflow_lifecycle.TRANSITIONS.following(current):
        lifecycle.move(wanted, 3.0, "because")
        assert lifecycle.history[:-1] == before
        assert (lifecycle.status, lifecycle.reason, lifecycle.history[-1].at_seconds) == (wanted, "because", 3.0)
    else:
        with pytest.raises(IllegalTransitionError, match="browse cannot go from"):
            lifecycle.move(wanted, 3.0)
        assert lifecycle.history == before


@pytest.mark.requirement("AD-33.1")
def test_every_workflow_status_is_in_the_table() -> None:
    assert workflow_lifecycle.TRANSITIONS.statuses == set(STATUSES)
    assert all(not workflow_lifecycle.TRANSITIONS.following(status) - set(STATUSES) for status in STATUSES)


def test_a_terminal_job_never_changes() -> None:
    assert {JOB_STATUS_COMPLETED, JOB_STATUS_FAILED, JOB_STATUS_CANCELLED} == job_lifecycle.TRANSITIONS.terminal
    lifecycle = Lifecycle(job_lifecycle.TRANSITIONS, "job-1", JOB_STATUS_SUBMITTED)
    lifecycle.move(JOB_STATUS_FAILED)
    for status in map(JobStatus.Value, JobStatus.keys()):
        with pytest.raises(IllegalTransitionError):
            lifecycle.move(status)


@pytest.mark.requirement("AD-20.2")
def test_a_job_that_is_being_cancelled_ends_in_no_other_way() -> None:
    assert job_lifecycle.TRANSITIONS.following(JOB_STATUS_CANCELLING) == {JOB_STATUS_CANCELLED}
