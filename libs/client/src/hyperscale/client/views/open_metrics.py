"""What is known of the metrics that no catalogue has: those of a job's own code, and of protocols other than HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from hyperscale.v1.job_pb2 import GlobalJobResult
from hyperscale.v1.statistics_pb2 import MetricTotals, StepStats
from hyperscale.workload.metric_catalogue import (
    CALL_METRICS,
    MetricEntry,
    MetricKind,
    MetricLevel,
    MetricSection,
    MetricUnit,
)

_KINDS: Final = {
    "counter": MetricKind.COUNTER,
    "rate": MetricKind.SHARE,
    "trend": MetricKind.TREND,
    "gauge": MetricKind.GAUGE,
}


def open_metrics(result: GlobalJobResult) -> dict[str, MetricEntry]:
    """The metrics that a job has brought itself, by name."""
    found: dict[str, MetricEntry] = {}
    for workflow in result.statistics:
        for metric in workflow.custom_metrics:
            found[metric.name] = MetricEntry(_kind(metric), MetricLevel.WORKFLOW, MetricSection.CUSTOM)
        for step in workflow.steps:
            found |= {name: _of_protocol(kind) for name, kind in _protocol_kinds(step)}
    return dict(sorted(found.items()))


def unknown_metric(values: Mapping[str, float]) -> MetricEntry:
    """A metric that a newer release has added, as far as its values tell."""
    kinds = {"avg": MetricKind.TREND, "value": MetricKind.GAUGE}
    kind = next((kind for key, kind in kinds.items() if key in values), MetricKind.COUNTER)
    return MetricEntry(kind, MetricLevel.WORKFLOW, MetricSection.CUSTOM)


def _protocol_kinds(step: StepStats) -> Iterator[tuple[str, MetricKind]]:
    for calls in step.protocols:
        for suffix, kind in CALL_METRICS.items():
            yield f"{calls.protocol}_{suffix}", kind
        for metric in calls.metrics:
            yield metric.name, _kind(metric)


def _of_protocol(kind: MetricKind) -> MetricEntry:
    unit = MetricUnit.MILLISECONDS if kind is MetricKind.TREND else MetricUnit.NUMBER
    return MetricEntry(kind, MetricLevel.STEP, MetricSection.PROTOCOLS, unit)


def _kind(metric: MetricTotals) -> MetricKind:
    return _KINDS.get(metric.WhichOneof("totals") or "", MetricKind.COUNTER)
