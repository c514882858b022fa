"""Statistics as people read them, under the names that k6 made common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.workload.histogram import Histogram
from hyperscale.workload.metric_catalogue import (
    AGGREGATIONS,
    METRICS,
    Aggregation,
    MetricKind,
    MetricLevel,
    Percentile,
    SimpleAggregation,
)
from hyperscale.workload.metric_selector import MetricSelector
from hyperscale.workload.statistics import StepStatistics, WorkflowStatistics

MeasuredT = TypeVar("MeasuredT")


@dataclass(frozen=True, slots=True)
class Share:
    """How often something was the case."""

    part: int
    whole: int


Sample = int | Share | Histogram
"""What a metric is made of: a count or a level, a share, or a distribution. Samples of one metric add up."""

STEP_METRICS: Final[Mapping[str, Callable[[StepStatistics], Sample | None]]] = {
    "checks": lambda step: Share(step.checks.passes, step.checks.total) if step.checks.by_name else None,
    "http_reqs": lambda step: step.total_count,
    "http_req_duration": lambda step: step.duration_ms,
    "http_req_failed": lambda step: Share(step.failed_count, step.total_count),
    "http_req_blocked": lambda step: step.phases.blocked_ms,
    "http_req_connecting": lambda step: step.phases.connecting_ms,
    "http_req_tls_handshaking": lambda step: step.phases.tls_handshaking_ms,
    "http_req_sending": lambda step: step.phases.sending_ms,
    "http_req_waiting": lambda step: step.phases.waiting_ms,
    "http_req_receiving": lambda step: step.phases.receiving_ms,
    "data_sent": lambda step: step.bytes_sent,
    "data_received": lambda step: step.bytes_received,
}
"""Where the metrics of `MetricLevel.STEP` come from; None: nothing produced the metric."""

WORKFLOW_METRICS: Final[Mapping[str, Callable[[WorkflowStatistics], Sample | None]]] = {
    "iterations": lambda workflow: workflow.iterations,
    "iteration_duration": lambda workflow: workflow.iteration_duration_ms,
    "vus": lambda workflow: workflow.vus,
    "vus_max": lambda workflow: workflow.vus_max,
    "dropped_iterations": lambda workflow: workflow.generator.dropped_iterations or None,
    "warm_up_requests": lambda workflow: workflow.generator.warm_up_requests or None,
    "engine_lag_ms": lambda workflow: workflow.generator.lag_ms,
    "generator_saturated": lambda workflow: Share(workflow.generator.saturated_seconds, workflow.generator.seconds),
}
"""Where the metrics of `MetricLevel.WORKFLOW` come from; None: nothing produced the metric."""


class MetricSource:
    """Metrics over any number of workflows, of which any aggregation can be asked.

    Parameters
    ----------
    workflows
        Totals of each workflow, or of each place of each workflow; they are added up. Not to be changed meanwhile.
    elapsed_seconds
        Time in which they were measured, for rates; a rate over no time is 0.
    step_name
        Only steps of this name count, and no metric of whole workflows; empty: everything counts.
    """

    def __init__(self, workflows: Iterable[WorkflowStatistics], elapsed_seconds: float, step_name: str = "") -> None:
        self._workflows = tuple(workflows)
        self._elapsed_seconds = elapsed_seconds
        self._step_name = step_name

    def narrowed(self, workflow_name: str, step_name: str) -> MetricSource:
        """The part of it that was measured of a workflow, and of steps of a name; an empty name narrows nothing."""
        chosen = (entry for entry in self._workflows if workflow_name in {"", entry.workflow_name})
        return MetricSource(chosen, self._elapsed_seconds, step_name or self._step_name)

    def aggregate(self, metric: str, aggregation: Aggregation) -> float | None:
        """One value of a metric; None when the metric has no sample.

        Raises KeyError for an unknown metric, ValueError for an aggregation that it does not have.
        """
        return self._value(METRICS[metric].kind, self._sample(metric), aggregation)

    def values(self) -> dict[str, dict[str, float]]:
        """Every metric that has samples, with the aggregations that are shown."""
        metrics = {metric: self._shown(metric) for metric in METRICS}
        return {metric: values for metric, values in metrics.items() if values}

    def _shown(self, metric: str) -> dict[str, float]:
        kind, sample = METRICS[metric].kind, self._sample(metric)
        if sample is None:
            return {}
        values = {str(aggregation): self._value(kind, sample, aggregation) for aggregation in AGGREGATIONS[kind]}
        return {name: value for name, value in values.items() if value is not None}

    def _sample(self, metric: str) -> Sample | None:
        """The sum of what every step or workflow has of the metric; None when nothing produced it."""
        if METRICS[metric].level is MetricLevel.STEP:
            return _sum(_samples(STEP_METRICS[metric], self._steps()))
        return None if self._step_name else _sum(_samples(WORKFLOW_METRICS[metric], self._workflows))

    def _steps(self) -> Iterator[StepStatistics]:
        for workflow in self._workflows:
            for name, step in workflow.steps.items():
                if self._step_name in {"", name}:
                    yield step

    def _value(self, kind: MetricKind, sample: Sample | None, aggregation: Aggregation) -> float | None:
        match sample:
            case Histogram():
                return _trend_value(sample, aggregation)
            case Share():
                return _share_value(sample, aggregation)
            case int() if kind is MetricKind.GAUGE:
                return _gauge_value(sample, aggregation)
            case int():
                return self._counter_value(sample, aggregation)
            case None:
                # What nobody counted did not happen; any other kind would have to invent a value.
                return 0.0 if kind is MetricKind.COUNTER else None

    def _counter_value(self, count: int, aggregation: Aggregation) -> float:
        match aggregation:
            case SimpleAggregation.COUNT:
                return float(count)
            case SimpleAggregation.RATE:
                return count / self._elapsed_seconds if self._elapsed_seconds > 0 else 0.0
            case _:
                raise ValueError(f"a counter has no {aggregation}")


def _samples(extract: Callable[[MeasuredT], Sample | None], measured: Iterable[MeasuredT]) -> list[Sample]:
    return [sample for entry in measured if (sample := extract(entry)) is not None]


def _sum(samples: list[Sample]) -> Sample | None:
    match samples:
        case []:
            return None
        case [only]:
            return only
        case [Histogram(), *_]:
            merged = Histogram()
            for sample in samples:
                if isinstance(sample, Histogram):
                    merged.merge(sample)
            return merged
        case [Share(), *_]:
            shares = [sample for sample in samples if isinstance(sample, Share)]
            return Share(sum(share.part for share in shares), sum(share.whole for share in shares))
        case _:
            return sum(sample for sample in samples if isinstance(sample, int))


def _share_value(share: Share, aggregation: Aggregation) -> float | None:
    if not share.whole:
        return None
    match aggregation:
        case SimpleAggregation.COUNT:
            return float(share.part)
        case SimpleAggregation.RATE:
            return share.part / share.whole
        case _:
            raise ValueError(f"a share has no {aggregation}")


def _gauge_value(level: int, aggregation: Aggregation) -> float:
    if aggregation is not SimpleAggregation.VALUE:
        raise ValueError(f"a gauge has no {aggregation}")
    return float(level)


def _trend_value(histogram: Histogram, aggregation: Aggregation) -> float | None:
    if not histogram.count:
        return None
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


_NOTHING: Final = MetricSource((), 0.0)


def metrics_of(workflows: Iterable[WorkflowStatistics], elapsed_seconds: float) -> dict[str, dict[str, float]]:
    """Metrics by name, then by aggregation.

    A metric that nothing produced, or that has no sample, is left out: nobody shall read an invented 0.
    """
    return MetricSource(workflows, elapsed_seconds).values()


@dataclass(frozen=True, slots=True)
class JobMetrics:
    """Metrics of a job, as a whole and by datacenter: what thresholds are asked of."""

    total: MetricSource
    datacenters: Mapping[str, MetricSource]

    def aggregate(self, selector: MetricSelector, aggregation: Aggregation) -> float | None:
        """One value of a metric where the selector says; None when there is no sample."""
        source = self.datacenters.get(selector.datacenter, _NOTHING) if selector.datacenter else self.total
        return source.narrowed(selector.workflow, selector.step).aggregate(selector.metric, aggregation)


def steps_of(workflows: Iterable[WorkflowStatistics], elapsed_seconds: float) -> list[pb.StepMetrics]:
    """Metrics of each step of each workflow, in their order; steps without any sample are left out."""
    found = (
        pb.StepMetrics(
            workflow_name=workflow.workflow_name,
            step_name=step_name,
            metrics=to_proto(MetricSource([workflow], elapsed_seconds, step_name).values()),
        )
        for workflow in workflows
        for step_name in workflow.steps
    )
    return [entry for entry in found if entry.metrics]


def to_proto(metrics: Mapping[str, Mapping[str, float]]) -> dict[str, pb.MetricValues]:
    """Metrics as a message field takes them."""
    return {metric: pb.MetricValues(values=values) for metric, values in metrics.items()}


def errors_of(workflows: Iterable[WorkflowStatistics]) -> list[pb.ErrorCount]:
    """Failed requests over all workflows, by class."""
    failures: Counter[pb.ErrorClass.ValueType] = Counter()
    for workflow in workflows:
        for step in workflow.steps.values():
            failures.update(step.failures)
            for protocol in step.protocols.values():
                failures.update(protocol.failures)
    return [pb.ErrorCount(error_class=error_class, count=failures[error_class]) for error_class in sorted(failures)]
