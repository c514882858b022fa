"""Metrics: k6's names, nothing invented."""

from dataclasses import fields

import numpy as np
import pytest

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.workload.metric_catalogue import METRICS, Aggregation, MetricLevel, Percentile, SimpleAggregation
from hyperscale.workload.metrics import (
    CODE_PROTOCOL,
    ONCE_METRICS,
    STEP_METRICS,
    WORKFLOW_METRICS,
    JobMetrics,
    MetricSource,
    errors_of,
    metrics_of,
    steps_of,
)
from hyperscale.workload.metrics import to_proto as metrics_to_proto
from hyperscale.workload.statistics import HttpPhases, WorkflowStatistics
from hyperscale.workload.thresholds import parse_threshold


def measured() -> WorkflowStatistics:
    """100 requests over two steps, 10 of them failed; 90 durations of 1 to 90 ms."""
    statistics = WorkflowStatistics("browse", iterations=50, vus=0, vus_max=5)
    home, cart = statistics.step("home"), statistics.step("cart")
    home.total_count, cart.total_count = 60, 40
    home.bytes_sent, cart.bytes_received = 1000, 5000
    home.failures[pb.ERROR_CLASS_CONNECT] = 4
    cart.failures[pb.ERROR_CLASS_CONNECT] = 5
    cart.failures[pb.ERROR_CLASS_STATUS] = 1
    home.duration_ms.record_many(np.arange(1.0, 57.0))
    cart.duration_ms.record_many(np.arange(57.0, 91.0))
    statistics.iteration_duration_ms.record_many(np.full(50, 250.0))
    for number, phase in enumerate(fields(HttpPhases)):
        getattr(home.phases, phase.name).record(float(number))
    return statistics


def test_every_metric_under_its_k6_name() -> None:
    metrics = metrics_of([measured()], elapsed_seconds=10.0)
    assert list(metrics) == [name for name in METRICS if name in metrics]
    assert metrics["http_reqs"] == {"count": 100, "rate": 10.0}
    assert metrics["http_req_failed"] == {"rate": 0.1, "count": 10}
    assert metrics["iterations"] == {"count": 50, "rate": 5.0}
    assert metrics["data_sent"] == {"count": 1000, "rate": 100.0}
    assert metrics["data_received"] == {"count": 5000, "rate": 500.0}
    assert (metrics["vus"], metrics["vus_max"]) == ({"value": 0}, {"value": 5})
    duration = metrics["http_req_duration"]
    assert list(duration) == ["avg", "min", "med", "max", "p(90)", "p(95)", "p(99)"]
    assert (duration["min"], duration["avg"], duration["max"]) == (1.0, 45.5, 90.0)
    assert duration["med"] == pytest.approx(45, rel=0.0055)
    assert duration["p(90)"] == pytest.approx(81, rel=0.0055)
    assert metrics["iteration_duration"]["p(99)"] == 250.0
    phases = ("blocked", "connecting", "tls_handshaking", "sending", "waiting", "receiving")
    assert [metrics[f"http_req_{phase}"]["max"] for phase in phases] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_exceptions_of_code_are_a_metric_of_their_step_that_thresholds_can_judge() -> None:
    statistics = measured()
    code = statistics.step("cart").protocol(CODE_PROTOCOL)
    code.total_count = code.failures[pb.ERROR_CLASS_EXCEPTION] = 7
    source = MetricSource([statistics], 10.0)
    assert source.values()["exceptions"] == {"count": 7, "rate": 0.7}
    assert source.narrowed("browse", "home").aggregate("exceptions", SimpleAggregation.COUNT) == 0
    rule = parse_threshold("exceptions{step:cart}", "count == 0")
    assert rule.evaluate(JobMetrics(source, {})) == (7, False)
    assert "exceptions" not in metrics_of([measured()], 10.0)


def test_metrics_add_up_over_workflows() -> None:
    metrics = metrics_of([measured(), measured()], elapsed_seconds=10.0)
    assert metrics["http_reqs"] == {"count": 200, "rate": 20.0}
    assert metrics["http_req_failed"]["rate"] == 0.1
    assert metrics["vus_max"] == {"value": 10}


def test_what_has_no_sample_is_left_out() -> None:
    idle = WorkflowStatistics("browse")
    idle.step("home")
    assert metrics_of([idle], elapsed_seconds=0.0) == {
        "http_reqs": {"count": 0, "rate": 0},
        "iterations": {"count": 0, "rate": 0},
        "data_sent": {"count": 0, "rate": 0},
        "data_received": {"count": 0, "rate": 0},
        "vus": {"value": 0},
        "vus_max": {"value": 0},
    }
    assert metrics_of([], elapsed_seconds=1.0) == {}


def test_every_metric_says_where_its_values_come_from() -> None:
    sources = {MetricLevel.STEP: STEP_METRICS, MetricLevel.WORKFLOW: {**WORKFLOW_METRICS, **ONCE_METRICS}}
    for level, table in sources.items():
        assert set(table) == {name for name, metric in METRICS.items() if metric.level is level}


def test_metrics_as_messages() -> None:
    messages = metrics_to_proto(metrics_of([measured()], 10.0))
    assert dict(messages["http_reqs"].values) == {"count": 100.0, "rate": 10.0}


def test_failures_by_class_over_workflows() -> None:
    counts = {entry.error_class: entry.count for entry in errors_of([measured(), measured()])}
    assert counts == {pb.ERROR_CLASS_CONNECT: 18, pb.ERROR_CLASS_STATUS: 2}


@pytest.mark.parametrize(
    ("metric", "aggregation"),
    [
        ("http_reqs", SimpleAggregation.MEDIAN),
        ("http_req_failed", Percentile(95)),
        ("http_req_duration", SimpleAggregation.RATE),
        ("vus", SimpleAggregation.MAX),
    ],
)
def test_an_aggregation_that_a_metric_does_not_have_is_an_error(metric: str, aggregation: Aggregation) -> None:
    with pytest.raises(ValueError, match="has no"):
        MetricSource([measured()], 1.0).aggregate(metric, aggregation)


def test_each_step_has_its_own_metrics_in_the_order_of_the_workflow() -> None:
    idle = WorkflowStatistics("idle")
    steps = steps_of([measured(), idle], elapsed_seconds=10.0)
    assert [(entry.workflow_name, entry.step_name) for entry in steps] == [("browse", "home"), ("browse", "cart")]
    home, cart = (entry.metrics for entry in steps)
    assert dict(home["http_reqs"].values) == {"count": 60, "rate": 6.0}
    assert dict(cart["http_req_failed"].values) == {"count": 6, "rate": 0.15}
    assert (home["http_req_duration"].values["max"], cart["http_req_duration"].values["min"]) == (56.0, 57.0)
    assert not {"iterations", "iteration_duration", "vus"} & set(home)
