"""The end of a run as text, in the shape people know from k6."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from hyperscale.client.names import status_name, verdict_name
from hyperscale.client.results import errors_json, step_errors_json, unreachable_json
from hyperscale.client.views.numbers import bytes_text, count_text, duration_text, share_text
from hyperscale.client.views.open_metrics import open_metrics, unknown_metric
from hyperscale.client.views.progress import plain_metrics
from hyperscale.client.views.routing import fallback_lines
from hyperscale.client.views.thresholds import FAILED_MARK, PASSED_MARK, threshold_text
from hyperscale.v1.job_pb2 import GlobalJobResult
from hyperscale.v1.statistics_pb2 import MetricValues, WorkflowStats
from hyperscale.workload.metric_catalogue import (
    METRICS,
    MetricEntry,
    MetricKind,
    MetricSection,
    MetricUnit,
)
from hyperscale.workload.saturation import SATURATED_METRIC, GeneratorState, generator_state
from hyperscale.workload.workflow_names import is_load

_DURATION: Final = "http_req_duration"
_USERS_NOW: Final = "vus"
"""Of a job that has ended there are none; how many there were at most is another metric."""
_COLUMNS: Final = ("avg", "min", "med", "max", "p(90)", "p(95)", "p(99)")
_LABEL_WIDTH: Final = 32


def summary_text(job_id: str, result: GlobalJobResult) -> str:
    """Thresholds, the metrics by section, errors by class, verdict."""
    entries = _entries(result)
    blocks = [
        _thresholds(result),
        *(_section(section, entries, result) for section in MetricSection),
        _errors(result),
        list(_code_errors(result)),
        _ending(job_id, result),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _thresholds(result: GlobalJobResult) -> list[str]:
    lines = [f"  {threshold_text(outcome)}" for outcome in result.thresholds]
    return ["THRESHOLDS", *lines] if lines else []


def _section(section: MetricSection, entries: Mapping[str, MetricEntry], result: GlobalJobResult) -> list[str]:
    chosen = {name: entry for name, entry in entries.items() if entry.section is section}
    rows: list[str] = []
    for name, entry in chosen.items():
        rows.append(_metric_row(name, entry, dict(result.metrics[name].values)))
        rows.extend(_DETAILS[name](result) if name in _DETAILS else ())
    has_trend = any(entry.kind is MetricKind.TREND for entry in chosen.values())
    return [_heading(section.value.upper(), has_trend), *rows] if rows else []


def _entries(result: GlobalJobResult) -> dict[str, MetricEntry]:
    """What is known of the metrics that there are, in the order of the catalogue, then those the job brought itself."""
    unknown = {name: unknown_metric(values.values) for name, values in sorted(result.metrics.items())}
    entries = {**METRICS, **open_metrics(result)}
    entries |= {name: entry for name, entry in unknown.items() if name not in entries}
    return {name: entry for name, entry in entries.items() if name in result.metrics and name != _USERS_NOW}


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
        case MetricKind.ONCE:
            return _row(label, count_text(values.get("count", 0.0)))
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


def _durations(result: GlobalJobResult) -> Iterator[str]:
    """The duration of requests in each datacenter, and of each step when there are several."""
    for part in result.datacenters:
        yield _duration_row(part.result.datacenter, part.metrics)
    steps = [step for step in result.steps if "http_reqs" in step.metrics]
    if len(steps) > 1:
        is_one_workflow = len({step.workflow_name for step in steps}) == 1
        for step in steps:
            label = step.step_name if is_one_workflow else f"{step.workflow_name}/{step.step_name}"
            yield _duration_row(label, step.metrics)


def _duration_row(label: str, metrics: Mapping[str, MetricValues]) -> str:
    values = plain_metrics(metrics).get(_DURATION, {})
    return _trend_row(f"  {label}", METRICS[_DURATION].unit, values)


def _checks(result: GlobalJobResult) -> Iterator[str]:
    """Every check with its step; of one that has failed, how often."""
    for workflow in result.statistics:
        for step in workflow.steps:
            for check in step.checks:
                mark = FAILED_MARK if check.fails else PASSED_MARK
                counts = f"  ({check.passes:,} of {check.passes + check.fails:,})" if check.fails else ""
                yield f"    {mark} {step.step_name}: {check.name}{counts}"


def _row(label: str, first: str, second: str = "") -> str:
    """Cells that end where columns of durations end."""
    return f"{_label(label)}{first:>11}{second:>22}".rstrip()


def _label(label: str) -> str:
    """The label with dots behind it; of one that is too long the end, which tells steps apart."""
    width = _LABEL_WIDTH - 3
    shown = label if len(label) < width else f"  …{label[4 - width :]}"
    return f"  {shown:.<{width}} "


def _number_text(value: float) -> str:
    return count_text(value) if float(value).is_integer() else f"{value:,.6g}"


def _errors(result: GlobalJobResult) -> list[str]:
    errors = errors_json(result.request_errors)
    unreachable = unreachable_json(entry for workflow in result.statistics for entry in workflow.unreachable)
    rows: list[str] = []
    for name, count in errors.items():
        rows.append(_row(name, count_text(count)))
        rows += _steps_with(name, result.statistics)
        found = [entry for entry in unreachable if entry["error_class"] == name]
        rows += [_row(f"  {entry['address']}", count_text(entry["count"])) for entry in found]
    return ["ERRORS", *rows] if rows else []


def _steps_with(error_class: str, statistics: Iterable[WorkflowStats]) -> Iterator[str]:
    """Where the failures of a class were, the most first, when there is more than one step where they could be."""
    load = [workflow for workflow in statistics if is_load(workflow.workflow_name)]
    if sum(len(workflow.steps) for workflow in load) > 1:
        found = [entry for entry in step_errors_json(load) if entry["error_class"] == error_class]
        for entry in sorted(found, key=lambda entry: -int(entry["count"])):
            name = entry["step"] if len(load) == 1 else f"{entry['workflow']}/{entry['step']}"
            yield _row(f"  {name}", count_text(entry["count"]))


def _code_errors(result: GlobalJobResult) -> Iterator[str]:
    """What went wrong in the job's code, with file and line."""
    samples = [(workflow.workflow_name, sample) for workflow in result.statistics for sample in workflow.error_samples]
    if samples:
        yield "EXCEPTIONS"
    for workflow_name, sample in samples:
        yield f"  {workflow_name}/{sample.step_name}: {sample.text}  ({sample.count:,} times)"


def _ending(job_id: str, result: GlobalJobResult) -> list[str]:
    elapsed = duration_text(result.elapsed.ToTimedelta().total_seconds() * 1000)
    lines = [f"job {job_id}: {status_name(result.status)} after {elapsed}"]
    lines += [f"  {part.result.datacenter}: {status_name(part.result.status)}" for part in result.datacenters]
    lines += [f"  {line}" for line in fallback_lines(result.fallbacks)]
    lines += [f"reason: {reason}" for reason in result.errors]
    lines += _generator(result)
    unjudged = "" if result.thresholds else " (no thresholds: nothing was judged)"
    return [*lines, f"verdict: {verdict_name(result.verdict)}{unjudged}"]


_DETAILS: Final[Mapping[str, Callable[[GlobalJobResult], Iterator[str]]]] = {
    "checks": _checks,
    _DURATION: _durations,
}
"""Metrics that have more rows below their own."""


def _generator(result: GlobalJobResult) -> list[str]:
    """A warning where the generator was at its limit: what it measured is its own time as well."""
    if generator_state(result.metrics) is not GeneratorState.SATURATED:
        return []
    share = share_text(result.metrics[SATURATED_METRIC].values.get("rate", 0.0))
    return [f"generator: saturated for {share} of the time: durations include its own; give it more cores or less load"]
