"""Statistics as people read them, under the names that k6 made common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.workload.metric_catalogue import (
    AGGREGATIONS,
    METRICS,
    Aggregation,
    MetricKind,
    Percentile,
    SimpleAggregation,
)
from hyperscale.workload.metric_selector import MetricSelector
from hyperscale.workload.samples import Sample, Share, kind_of, sample_of, sum_of, value_of
from hyperscale.workload.statistics import StepStatistics, WorkflowStatistics
from hyperscale.workload.totals import TotalsByName, UnreachableAddresses
from hyperscale.workload.workflow_names import SETUP_SUFFIX, TEARDOWN_SUFFIX, is_load

MeasuredT = TypeVar("MeasuredT")

CODE_PROTOCOL: Final = "code"
"""Under which the exceptions of a workflow's own code are counted: errors, with a metric of their own."""

STEP_METRICS: Final[Mapping[str, Callable[[StepStatistics], Sample | None]]] = {
    "checks": lambda step: Share(step.checks.passes, step.checks.total) if step.checks.by_name else None,
    "http_reqs": lambda step: None if step.protocols and not step.total_count else step.total_count,
    "http_req_duration": lambda step: step.duration_ms,
    "http_req_failed": lambda step: Share(step.failed_count, step.total_count),
    "http_req_blocked": lambda step: step.phases.blocked_ms,
    "http_req_connecting": lambda step: step.phases.connecting_ms,
    "http_req_tls_handshaking": lambda step: step.phases.tls_handshaking_ms,
    "http_req_sending": lambda step: step.phases.sending_ms,
    "http_req_waiting": lambda step: step.phases.waiting_ms,
    "http_req_receiving": lambda step: step.phases.receiving_ms,
    "exceptions": lambda step: step.protocols[CODE_PROTOCOL].failed_count if CODE_PROTOCOL in step.protocols else None,
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
    "start_lag_ms": lambda workflow: workflow.generator.start_lag_ms,
    "generator_saturated": lambda workflow: Share(workflow.generator.saturated_seconds, workflow.generator.seconds),
}
"""Where the metrics of `MetricLevel.WORKFLOW` come from; None: nothing produced the metric."""

_MOST_USERS: Final = "vus_max"

ONCE_METRICS: Final[Mapping[str, str]] = {"setup_requests": SETUP_SUFFIX, "teardown_requests": TEARDOWN_SUFFIX}
"""Requests that are no load, by the ending of the names of the workflows that make them."""


class MetricSource:
    """Metrics over any number of workflows, of which any aggregation can be asked.

    Setups and teardowns are no load: they count in metrics of their own, and where one of them is asked for by its name.

    Parameters
    ----------
    workflows
        Totals of each workflow, or of each place of each workflow; they are added up. Not to be changed meanwhile.
    elapsed_seconds
        Time in which they were measured, for rates; a rate over no time is 0.
    step_name
        Only steps of this name count, and no metric of whole workflows; empty: everything counts.
    most_users
        Users that there were at once; None: the workflows ran at the same time, so that the most of each add up.
    """

    def __init__(
        self,
        workflows: Iterable[WorkflowStatistics],
        elapsed_seconds: float,
        step_name: str = "",
        most_users: int | None = None,
    ) -> None:
        self._all = tuple(workflows)
        self._workflows = tuple(entry for entry in self._all if is_load(entry.workflow_name))
        self._elapsed_seconds = elapsed_seconds
        self._step_name = step_name
        self._most_users = most_users

    def narrowed(self, workflow_name: str, step_name: str) -> MetricSource:
        """The part of it that was measured of a workflow, and of steps of a name; an empty name narrows nothing."""
        source = MetricSource(self._all, self._elapsed_seconds, step_name or self._step_name, self._most_users)
        if workflow_name:
            source._most_users = None
            source._all = source._workflows = tuple(
                entry for entry in self._all if entry.workflow_name == workflow_name
            )
        return source

    def aggregate(self, metric: str, aggregation: Aggregation) -> float | None:
        """One value of a metric; None when the metric has no sample.

        Raises ValueError for an aggregation that a metric of the catalogue does not have. One that nobody knows beforehand
        has no sample of another kind than it turned out to be.
        """
        entry = METRICS.get(metric)
        sample = sum_of(self._samples(metric))
        if sample is None:
            # What nobody counted did not happen; anything else would be an invented value.
            is_count = (
                entry.kind in {MetricKind.COUNTER, MetricKind.ONCE} if entry else aggregation is SimpleAggregation.COUNT
            )
            return 0.0 if is_count else None
        kind = entry.kind if entry else kind_of(sample)
        if entry is None and not _has(kind, aggregation):
            return None
        return value_of(sample, kind, aggregation, self._elapsed_seconds)

    def values(self) -> dict[str, dict[str, float]]:
        """Every metric that has samples, with the aggregations that are shown; those of the catalogue first."""
        names = [*METRICS, *sorted(self._open_names() - METRICS.keys())]
        metrics = {metric: self._shown(metric) for metric in names}
        return {metric: values for metric, values in metrics.items() if values}

    def _shown(self, metric: str) -> dict[str, float]:
        sample = sum_of(self._samples(metric))
        if sample is None:
            return {}
        kind = METRICS[metric].kind if metric in METRICS else kind_of(sample)
        shown = {
            str(aggregation): value_of(sample, kind, aggregation, self._elapsed_seconds)
            for aggregation in AGGREGATIONS[kind]
        }
        return {name: value for name, value in shown.items() if value is not None}

    def _samples(self, metric: str) -> list[Sample]:
        """What every step or workflow has of the metric; empty when nothing produced it."""
        if metric in STEP_METRICS:
            return _extracted(STEP_METRICS[metric], self._steps())
        if metric == _MOST_USERS and self._most_users is not None and self._workflows and not self._step_name:
            return [self._most_users]
        if metric in WORKFLOW_METRICS:
            return [] if self._step_name else _extracted(WORKFLOW_METRICS[metric], self._workflows)
        if metric in ONCE_METRICS:
            return [] if self._step_name else self._requests_of(ONCE_METRICS[metric])
        return [metrics[metric] for metrics in self._open_metrics() if metric in metrics]

    def _requests_of(self, suffix: str) -> list[Sample]:
        once = (entry for entry in self._all if entry.workflow_name.endswith(suffix))
        return [sum(step.total_count for step in entry.steps.values()) for entry in once]

    def _open_names(self) -> set[str]:
        return {name for metrics in self._open_metrics() for name in metrics}

    def _open_metrics(self) -> Iterator[dict[str, Sample]]:
        """The metrics that are not known beforehand, of each step and of each workflow."""
        yield from map(_protocol_metrics, self._steps())
        if not self._step_name:
            for workflow in self._workflows:
                yield _samples_by_name(workflow.custom_metrics)

    def _steps(self) -> Iterator[StepStatistics]:
        for workflow in self._workflows:
            for name, step in workflow.steps.items():
                if self._step_name in {"", name}:
                    yield step


def _extracted(extract: Callable[[MeasuredT], Sample | None], measured: Iterable[MeasuredT]) -> list[Sample]:
    return [sample for entry in measured if (sample := extract(entry)) is not None]


def _protocol_metrics(step: StepStatistics) -> dict[str, Sample]:
    """Calls that are not HTTP, under names that begin with their protocol."""
    metrics: dict[str, Sample] = {}
    for protocol, calls in step.protocols.items():
        if protocol != CODE_PROTOCOL:
            metrics[f"{protocol}_reqs"] = calls.total_count
            metrics[f"{protocol}_req_duration"] = calls.duration_ms
            metrics[f"{protocol}_req_failed"] = Share(calls.failed_count, calls.total_count)
        metrics |= _samples_by_name(calls.metrics)
    return metrics


def _samples_by_name(totals: TotalsByName) -> dict[str, Sample]:
    return {name: sample_of(entry) for name, entry in totals.metrics.items()}


def _has(kind: MetricKind, aggregation: Aggregation) -> bool:
    return aggregation in AGGREGATIONS[kind] or (kind is MetricKind.TREND and isinstance(aggregation, Percentile))


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


def steps_of(workflows: Collection[WorkflowStatistics], elapsed_seconds: float) -> list[pb.StepMetrics]:
    """Metrics of each step of each workflow, in their order; steps without any sample are left out."""
    source = MetricSource(workflows, elapsed_seconds)
    found = (
        pb.StepMetrics(
            workflow_name=workflow.workflow_name,
            step_name=step_name,
            metrics=to_proto(source.narrowed(workflow.workflow_name, step_name).values()),
        )
        for workflow in workflows
        for step_name in workflow.steps
    )
    return [entry for entry in found if entry.metrics]


def to_proto(metrics: Mapping[str, Mapping[str, float]]) -> dict[str, pb.MetricValues]:
    """Metrics as a message field takes them."""
    return {metric: pb.MetricValues(values=values) for metric, values in metrics.items()}


def unreachable_of(workflows: Iterable[WorkflowStatistics]) -> list[pb.UnreachableAddress]:
    """To where requests of all workflows found no connection, by address and class."""
    found = UnreachableAddresses()
    for workflow in workflows:
        found.merge(workflow.unreachable)
    return found.to_proto()


def errors_of(workflows: Iterable[WorkflowStatistics]) -> list[pb.ErrorCount]:
    """Failed requests of the load of all workflows, by class."""
    failures: Counter[pb.ErrorClass.ValueType] = Counter()
    for workflow in workflows:
        for step in workflow.steps.values() if is_load(workflow.workflow_name) else ():
            failures.update(step.failures)
            for protocol in step.protocols.values():
                failures.update(protocol.failures)
    return [pb.ErrorCount(error_class=error_class, count=failures[error_class]) for error_class in sorted(failures)]
