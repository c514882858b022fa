"""The end of a run as text, in the shape people know from k6."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from hyperscale.client.names import status_name, verdict_name
from hyperscale.client.results import errors_json
from hyperscale.client.views.numbers import bytes_text, count_text, duration_text, share_text
from hyperscale.client.views.progress import Metrics, plain_metrics
from hyperscale.client.views.thresholds import threshold_text
from hyperscale.v1.job_pb2 import GlobalJobResult
from hyperscale.v1.statistics_pb2 import MetricValues
from hyperscale.workload.metric_catalogue import (
    METRICS,
    MetricEntry,
    MetricKind,
    MetricLevel,
    MetricSection,
    MetricUnit,
)

_DETAILED: Final = "http_req_duration"
"""The metric that has a row per datacenter and per step."""
_COLUMNS: Final = ("avg", "min", "med", "max", "p(90)", "p(95)", "p(99)")
_LABEL_WIDTH: Final = 32


def summary_text(job_id: str, result: GlobalJobResult) -> str:
    """Thresholds, the metrics by section, errors by class, verdict."""
    blocks = [
        _thresholds(result),
        *(_section(section, result) for section in MetricSection),
        _errors(result),
        _ending(job_id, result),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _thresholds(result: GlobalJobResult) -> list[str]:
    lines = [f"  {threshold_text(outcome)}" for outcome in result.thresholds]
    return ["THRESHOLDS", *lines] if lines else []


def _section(section: MetricSection, result: GlobalJobResult) -> list[str]:
    metrics = plain_metrics(result.metrics)
    rows: list[str] = []
    for name, metric in _shown(metrics).items():
        if metric.section is section:
            rows.append(_metric_row(name, metric, metrics[name]))
            rows.extend(_details(result) if name == _DETAILED else ())
    has_trend = any("avg" in metrics[name] for name, metric in _shown(metrics).items() if metric.section is section)
    return [_heading(section.value.upper(), has_trend), *rows] if rows else []


def _shown(metrics: Metrics) -> dict[str, MetricEntry]:
    """What is known of the metrics that there are, in the order of the catalogue, then those the job brought itself."""
    known = {name: metric for name, metric in METRICS.items() if name in metrics}
    return known | {name: _custom(metrics[name]) for name in sorted(metrics) if name not in METRICS}


def _custom(values: Mapping[str, float]) -> MetricEntry:
    """A metric that only the job knows, as far as its values tell."""
    kinds = {"avg": MetricKind.TREND, "value": MetricKind.GAUGE}
    kind = next((kind for key, kind in kinds.items() if key in values), MetricKind.COUNTER)
    return MetricEntry(kind, MetricLevel.WORKFLOW, MetricSection.CUSTOM)


def _heading(title: str, has_trend: bool) -> str:
    return f"{title:<{_LABEL_WIDTH}}" + "".join(f"{column:>11}" for column in _COLUMNS) if has_trend else title


def _metric_row(label: str, metric: MetricEntry, values: Mapping[str, float]) -> str:
    match metric.kind:
        case MetricKind.TREND:
            return _trend_row(label, metric.unit, values)
        case MetricKind.SHARE:
            return _row(label, share_text(values.get("rate", 0.0)), count_text(values.get("count", 0.0)))
        case MetricKind.COUNTER:
            return _counter_row(label, metric.unit, values)
        case MetricKind.GAUGE:
            return _row(label, _number_text(values.get("value", 0.0)))


def _trend_row(label: str, unit: MetricUnit, values: Mapping[str, float]) -> str:
    text = duration_text if unit is MetricUnit.MILLISECONDS else _number_text
    cells = (text(values[column]) if column in values else "-" for column in _COLUMNS)
    return _label(label) + "".join(f"{cell:>11}" for cell in cells)


def _counter_row(label: str, unit: MetricUnit, values: Mapping[str, float]) -> str:
    count, rate = values.get("count", 0.0), values.get("rate", 0.0)
    if unit is MetricUnit.BYTES:
        return _row(label, bytes_text(count), f"{bytes_text(rate)}/s")
    return _row(label, count_text(count), f"{rate:,.2f}/s")


def _details(result: GlobalJobResult) -> Iterator[str]:
    for part in result.datacenters:
        yield _detail_row(part.result.datacenter, part.metrics)
    if len(result.steps) > 1:
        is_one_workflow = len({step.workflow_name for step in result.steps}) == 1
        for step in result.steps:
            label = step.step_name if is_one_workflow else f"{step.workflow_name}/{step.step_name}"
            yield _detail_row(label, step.metrics)


def _detail_row(label: str, metrics: Mapping[str, MetricValues]) -> str:
    return _trend_row(f"  {label}", METRICS[_DETAILED].unit, plain_metrics(metrics).get(_DETAILED, {}))


def _row(label: str, *cells: str) -> str:
    return _label(label) + "  ".join(f"{cell:>13}" for cell in cells)


def _label(label: str) -> str:
    """The label with dots behind it; of one that is too long the end, which tells steps apart."""
    width = _LABEL_WIDTH - 3
    shown = label if len(label) < width else f"  …{label[4 - width :]}"
    return f"  {shown:.<{width}} "


def _number_text(value: float) -> str:
    return count_text(value) if float(value).is_integer() else f"{value:,.6g}"


def _errors(result: GlobalJobResult) -> list[str]:
    errors = errors_json(result.request_errors)
    return ["ERRORS", *(_row(name, count_text(count)) for name, count in errors.items())] if errors else []


def _ending(job_id: str, result: GlobalJobResult) -> list[str]:
    elapsed = duration_text(result.elapsed.ToTimedelta().total_seconds() * 1000)
    lines = [f"job {job_id}: {status_name(result.status)} after {elapsed}"]
    lines += [f"  {part.result.datacenter}: {status_name(part.result.status)}" for part in result.datacenters]
    lines += [f"reason: {reason}" for reason in result.errors]
    return [*lines, f"verdict: {verdict_name(result.verdict)}"]
