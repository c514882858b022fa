"""Statistics as people read them, under the names that k6 made common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import assert_never

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.workload.histogram import Histogram
from hyperscale.workload.metric_catalogue import (
    AGGREGATIONS,
    METRICS,
    Aggregation,
    MetricKind,
    Percentile,
    SimpleAggregation,
)
from hyperscale.workload.statistics import StepStatistics, WorkflowStatistics


class MetricSource:
    """Metrics over any number of workflows, of which any aggregation can be asked.

    Parameters
    ----------
    workflows
        Totals of each workflow, or of each place of each workflow; they are added up.
    elapsed_seconds
        Time in which they were measured, for rates; a rate over no time is 0.
    """

    def __init__(self, workflows: Iterable[WorkflowStatistics], elapsed_seconds: float) -> None:
        self._elapsed_seconds = elapsed_seconds
        requests = StepStatistics()
        iteration_durations = Histogram()
        iterations = vus = vus_max = 0
        for workflow in workflows:
            for step in workflow.steps.values():
                requests.merge(step)
            iteration_durations.merge(workflow.iteration_duration_ms)
            iterations += workflow.iterations
            vus += workflow.vus
            vus_max += workflow.vus_max
        self._requests = requests
        self._trends = {"http_req_duration": requests.duration_ms, "iteration_duration": iteration_durations}
        self._numbers = {
            "http_reqs": requests.total_count,
            "http_req_failed": requests.failed_count,
            "iterations": iterations,
            "data_sent": requests.bytes_sent,
            "data_received": requests.bytes_received,
            "vus": vus,
            "vus_max": vus_max,
        }

    def aggregate(self, metric: str, aggregation: Aggregation) -> float | None:
        """One value of a metric; None when the metric has no sample.

        Raises KeyError for an unknown metric, ValueError for an aggregation that it does not have.
        """
        match METRICS[metric]:
            case MetricKind.TREND:
                histogram = self._trends[metric]
                return _trend_value(histogram, aggregation) if histogram.count else None
            case MetricKind.SHARE:
                return self._failed_value(aggregation) if self._requests.total_count else None
            case MetricKind.COUNTER:
                return self._counter_value(self._numbers[metric], aggregation)
            case MetricKind.GAUGE:
                return _gauge_value(self._numbers[metric], aggregation)
            case other:
                assert_never(other)

    def values(self) -> dict[str, dict[str, float]]:
        """Every metric that has samples, with the aggregations that are shown."""
        metrics = {metric: self._shown(metric, kind) for metric, kind in METRICS.items()}
        return {metric: values for metric, values in metrics.items() if values}

    def _shown(self, metric: str, kind: MetricKind) -> dict[str, float]:
        values = {str(aggregation): self.aggregate(metric, aggregation) for aggregation in AGGREGATIONS[kind]}
        return {name: value for name, value in values.items() if value is not None}

    def _counter_value(self, count: int, aggregation: Aggregation) -> float:
        match aggregation:
            case SimpleAggregation.COUNT:
                return float(count)
            case SimpleAggregation.RATE:
                return count / self._elapsed_seconds if self._elapsed_seconds > 0 else 0.0
            case _:
                raise ValueError(f"a counter has no {aggregation}")

    def _failed_value(self, aggregation: Aggregation) -> float:
        match aggregation:
            case SimpleAggregation.COUNT:
                return float(self._requests.failed_count)
            case SimpleAggregation.RATE:
                return self._requests.failed_count / self._requests.total_count
            case _:
                raise ValueError(f"a share has no {aggregation}")


def _gauge_value(level: int, aggregation: Aggregation) -> float:
    if aggregation is not SimpleAggregation.VALUE:
        raise ValueError(f"a gauge has no {aggregation}")
    return float(level)


def _trend_value(histogram: Histogram, aggregation: Aggregation) -> float:
    match aggregation:
        case Percentile(percent):
            return histogram.percentile(percent)
        case SimpleAggregation.AVERAGE:
            return histogram.mean
        case SimpleAggregation.MIN:
            return histogram.min
        case SimpleAggregation.MEDIAN:
            return histogram.percentile(50)
        case SimpleAggregation.MAX:
            return histogram.max
        case _:
            raise ValueError(f"a trend has no {aggregation}")


def metrics_of(workflows: Iterable[WorkflowStatistics], elapsed_seconds: float) -> dict[str, dict[str, float]]:
    """Metrics by name, then by aggregation.

    Trends without a sample, and the share of failed requests when none was made, are left out: nobody shall read an
    invented 0.
    """
    return MetricSource(workflows, elapsed_seconds).values()


def to_proto(metrics: Mapping[str, Mapping[str, float]]) -> dict[str, pb.MetricValues]:
    """Metrics as a message field takes them."""
    return {metric: pb.MetricValues(values=values) for metric, values in metrics.items()}


def errors_of(workflows: Iterable[WorkflowStatistics]) -> list[pb.ErrorCount]:
    """Failed requests over all workflows, by class."""
    failures: Counter[pb.ErrorClass.ValueType] = Counter()
    for workflow in workflows:
        for step in workflow.steps.values():
            failures.update(step.failures)
    return [pb.ErrorCount(error_class=error_class, count=failures[error_class]) for error_class in sorted(failures)]
