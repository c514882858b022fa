"""The end of a run as text, in the shape people know from k6."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Final

from hyperscale.client.names import status_name, verdict_name
from hyperscale.client.results import errors_json
from hyperscale.client.views.numbers import bytes_text, count_text, duration_text, share_text
from hyperscale.client.views.progress import Metrics, plain_metrics
from hyperscale.v1.job_pb2 import GlobalJobResult, ThresholdResult

_TRENDS: Final = ("http_req_duration", "iteration_duration")
_COLUMNS: Final = ("avg", "min", "med", "max", "p(90)", "p(95)", "p(99)")
_LABEL_WIDTH: Final = 26


def summary_text(job_id: str, result: GlobalJobResult) -> str:
    """Thresholds, trends with a row per datacenter, counters, errors by class, verdict."""
    blocks = [
        _thresholds(result),
        _trends(result),
        _counters(plain_metrics(result.metrics)),
        _errors(result),
        _ending(job_id, result),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _thresholds(result: GlobalJobResult) -> list[str]:
    if not result.thresholds:
        return []
    lines = ["THRESHOLDS"]
    lines += [_threshold(outcome) for outcome in result.thresholds]
    return lines


def _threshold(outcome: ThresholdResult) -> str:
    mark = "✓" if outcome.passed else "✗"
    return f"  {mark} {outcome.threshold.metric}: {outcome.threshold.expression}  (observed {_observed(outcome)})"


def _observed(outcome: ThresholdResult) -> str:
    if not isfinite(outcome.observed):
        return "no sample"
    metric, expression = outcome.threshold.metric, outcome.threshold.expression.strip()
    if metric in _TRENDS:
        return duration_text(outcome.observed)
    if metric == "http_req_failed" and expression.startswith("rate"):
        return share_text(outcome.observed)
    return f"{outcome.observed:g}"


def _trends(result: GlobalJobResult) -> list[str]:
    metrics = plain_metrics(result.metrics)
    rows = [_trend_row(name, metrics[name]) for name in _TRENDS if name in metrics]
    if not rows:
        return []
    header = " " * _LABEL_WIDTH + "".join(f"{column:>11}" for column in _COLUMNS)
    return ["METRICS", header, *rows[:1], *_datacenter_rows(result), *rows[1:]]


def _trend_row(label: str, values: Mapping[str, float]) -> str:
    cells = (duration_text(values[column]) if column in values else "-" for column in _COLUMNS)
    return f"  {label:.<{_LABEL_WIDTH - 3}} " + "".join(f"{cell:>11}" for cell in cells)


def _datacenter_rows(result: GlobalJobResult) -> Iterator[str]:
    for part in result.datacenters:
        metrics = plain_metrics(part.metrics)
        yield _trend_row(f"  {part.result.datacenter}"[: _LABEL_WIDTH - 4], metrics.get(_TRENDS[0], {}))


def _counters(metrics: Metrics) -> list[str]:
    rows = [
        *(_rated(metrics, name) for name in ("http_reqs", "iterations") if name in metrics),
        *_failed(metrics),
        *(_data(metrics, name) for name in ("data_sent", "data_received") if name in metrics),
        *(_row("vus_max", count_text(values.get("value", 0.0))) for values in [metrics.get("vus_max")] if values),
    ]
    return ["COUNTERS", *rows] if rows else []


def _row(label: str, *cells: str) -> str:
    return f"  {label:.<{_LABEL_WIDTH - 3}} " + "  ".join(f"{cell:>13}" for cell in cells)


def _rated(metrics: Metrics, name: str) -> str:
    values = metrics[name]
    return _row(name, count_text(values.get("count", 0.0)), f"{values.get('rate', 0.0):,.2f}/s")


def _failed(metrics: Metrics) -> list[str]:
    values = metrics.get("http_req_failed")
    if values is None:
        return []
    return [_row("http_req_failed", share_text(values.get("rate", 0.0)), count_text(values.get("count", 0.0)))]


def _data(metrics: Metrics, name: str) -> str:
    values = metrics[name]
    return _row(name, bytes_text(values.get("count", 0.0)), f"{bytes_text(values.get('rate', 0.0))}/s")


def _errors(result: GlobalJobResult) -> list[str]:
    errors = errors_json(result.request_errors)
    return ["ERRORS", *(_row(name, count_text(count)) for name, count in errors.items())] if errors else []


def _ending(job_id: str, result: GlobalJobResult) -> list[str]:
    elapsed = duration_text(result.elapsed.ToTimedelta().total_seconds() * 1000)
    lines = [f"job {job_id}: {status_name(result.status)} after {elapsed}"]
    lines += [f"  {part.result.datacenter}: {status_name(part.result.status)}" for part in result.datacenters]
    lines += [f"reason: {reason}" for reason in result.errors]
    return [*lines, f"verdict: {verdict_name(result.verdict)}"]
