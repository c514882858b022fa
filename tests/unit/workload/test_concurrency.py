"""How many users there were at once, by when workflows ran."""

from __future__ import annotations

import pytest

from hyperscale.v1.job_pb2 import (
    WORKFLOW_STATUS_CANCELLED,
    WORKFLOW_STATUS_CANCELLING,
    WORKFLOW_STATUS_COMPLETED,
    WORKFLOW_STATUS_DISPATCHED,
    WORKFLOW_STATUS_PENDING,
    WORKFLOW_STATUS_RUNNING,
    WorkflowStatus,
    WorkflowStatusInfo,
    WorkflowTransition,
)
from hyperscale.workload.concurrency import most_users_at_once
from hyperscale.workload.metric_catalogue import SimpleAggregation
from hyperscale.workload.metric_selector import MetricSelector
from hyperscale.workload.metrics import JobMetrics, MetricSource
from hyperscale.workload.statistics import WorkflowStatistics
from hyperscale.workload.timestamps import timestamp


def measured(**users: int) -> list[WorkflowStatistics]:
    return [WorkflowStatistics(name, vus_max=most) for name, most in users.items()]


def ran(
    name: str, began: float, ended: float | None, end: WorkflowStatus.ValueType = WORKFLOW_STATUS_COMPLETED
) -> WorkflowStatusInfo:
    changes = [
        (WORKFLOW_STATUS_PENDING, 0.0),
        (WORKFLOW_STATUS_DISPATCHED, began),
        (WORKFLOW_STATUS_RUNNING, began + 1),
        *([(end, ended)] if ended is not None else []),
    ]
    history = [WorkflowTransition(status=status, at=timestamp(at)) for status, at in changes]
    return WorkflowStatusInfo(workflow_name=name, history=history)


@pytest.mark.parametrize(
    ("workflows", "most"),
    [
        ([ran("a", 10, 20), ran("b", 20, 30), ran("c", 30, 40)], 7),
        ([ran("a", 10, 20), ran("b", 19, 30), ran("c", 30, 40)], 12),
        ([ran("a", 10, 40), ran("b", 10, 20), ran("c", 21, 30)], 12),
        ([ran("a", 10, None), ran("b", 20, None), ran("c", 30, None)], 15),
        ([ran("a", 10, 20, WORKFLOW_STATUS_CANCELLED), ran("b", 20, None), ran("c", 30, None)], 10),
        ([ran("a", 10, 20, WORKFLOW_STATUS_CANCELLING), ran("b", 20, 30), ran("c", 30, 40)], 12),
        ([ran("a", 10, 20), ran("b", 20, 30)], 10),
        ([ran("a", 20, 10), ran("b", 20, 30), ran("c", 30, 40)], 7),
        ([], 15),
    ],
)
def test_users_count_together_when_their_workflows_ran_together(workflows: list[WorkflowStatusInfo], most: int) -> None:
    assert most_users_at_once(measured(a=5, b=7, c=3), workflows) == most


def test_nobody_counts_where_there_is_no_load() -> None:
    assert most_users_at_once([], []) == 0
    assert most_users_at_once([WorkflowStatistics("shop.setup", vus_max=1)], []) == 0


def test_a_workflow_keeps_its_own_users() -> None:
    metrics = JobMetrics(MetricSource(measured(a=5, b=7), 1.0, most_users=7), {})
    value = SimpleAggregation.VALUE
    assert metrics.aggregate(MetricSelector("vus_max"), value) == 7
    assert metrics.aggregate(MetricSelector("vus_max", workflow="a"), value) == 5
    assert metrics.total.values()["vus_max"] == {"value": 7}
    assert "vus_max" not in MetricSource([], 1.0, most_users=0).values()
