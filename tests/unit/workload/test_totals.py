"""Metrics that are not known beforehand add up exactly, in any order."""

import random

import pytest

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.v1.job_pb2 import ContextValue
from hyperscale.workload.context import MAX_CONTEXT_BYTES, ContextTooLargeError, ProvidedValues
from hyperscale.workload.statistics import WorkflowStatistics


def measured(seed: int) -> WorkflowStatistics:
    """What one place may have measured."""
    chance = random.Random(seed)
    statistics = WorkflowStatistics("flow")
    metrics = statistics.custom_metrics
    for _ in range(20):
        metrics.count("orders", chance.randint(0, 9))
        metrics.see("found", matching=chance.randint(0, 1), total=1)
        metrics.record("basket", chance.random() * 100)
        metrics.note("level", chance.randint(-9, 9), chance.randint(1, 5))
        statistics.error_samples.note(chance.choice("ab"), f"job.py:{chance.randint(1, 9)}: ValueError")
        call = statistics.step("s").protocol(chance.choice(("grpc", "ws")))
        call.total_count += 1
        call.failures[pb.ERROR_CLASS_EXCEPTION] += chance.randint(0, 1)
        call.duration_ms.record(chance.random())
        call.metrics.count("ws_msgs_sent", 2)
    return statistics


def merged(*parts: WorkflowStatistics) -> pb.WorkflowStats:
    whole = WorkflowStatistics("flow")
    for part in parts:
        whole.merge(part)
    return whole.to_proto()


def test_merging_is_exact_in_any_order_and_over_the_wire() -> None:
    parts = [measured(seed) for seed in range(6)]
    expected = merged(*parts)
    for seed in range(5):
        shuffled = parts.copy()
        random.Random(seed).shuffle(shuffled)
        sent = [WorkflowStatistics.from_proto(part.to_proto()) for part in shuffled]
        left, right = WorkflowStatistics("flow"), WorkflowStatistics("flow")
        for part in sent[:3]:
            left.merge(part)
        for part in sent[3:]:
            right.merge(part)
        assert merged(right, left) == expected
    assert [metric.name for metric in expected.custom_metrics] == ["basket", "found", "level", "orders"]
    assert len(expected.error_samples) == 10


def test_a_metric_has_one_kind() -> None:
    statistics = WorkflowStatistics("flow")
    statistics.custom_metrics.count("m", 1)
    with pytest.raises(ValueError, match="two kinds"):
        statistics.custom_metrics.record("m", 1.0)
    with pytest.raises(ValueError, match="no totals"):
        WorkflowStatistics.from_proto(pb.WorkflowStats(custom_metrics=[pb.MetricTotals(name="m")]))


def value(json: str, at: float, shard: str) -> ContextValue:
    return ContextValue(name="v", json=json, at_seconds=at, shard_id=shard)


def test_of_several_values_the_last_one_stays_whatever_the_order() -> None:
    values = [value("1", 5.0, "a"), value("2", 7.0, "a"), value("3", 7.0, "b"), value("4", 6.0, "z")]
    for seed in range(10):
        random.Random(seed).shuffle(values)
        provided = ProvidedValues()
        for one in values:
            provided.merge([one])
        assert [entry.json for entry in provided.values()] == ["3"]


def test_too_much_is_refused() -> None:
    with pytest.raises(ContextTooLargeError):
        ProvidedValues().merge([value("x" * MAX_CONTEXT_BYTES, 1.0, "a")])
