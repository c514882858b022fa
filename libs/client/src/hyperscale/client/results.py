"""Jobs as the JSON that pipelines read; durations in milliseconds, data in bytes, times in UTC."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC
from math import isfinite
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from hyperscale.client.names import error_class_name, status_name, verdict_name
from hyperscale.v1.gate_service_pb2 import JobEvent, JobSummary, JobWindow
from hyperscale.v1.job_pb2 import (
    DatacenterResult,
    GlobalJobResult,
    GlobalJobStatus,
    JobStatus,
    ThresholdResult,
)
from hyperscale.v1.routing_pb2 import RoutingFallback
from hyperscale.v1.statistics_pb2 import (
    ErrorCount,
    MetricValues,
    StepMetrics,
    StepStats,
    UnreachableAddress,
    WorkflowStats,
)
from hyperscale.workload.metric_catalogue import METRICS
from hyperscale.workload.saturation import generator_state
from hyperscale.workload.workflow_names import is_load

_MOST_ADDRESSES: Final = 10


def iso_utc(at: Timestamp) -> str:
    """ISO 8601 in UTC with milliseconds, for example ``2026-03-01T12:00:00.123Z``."""
    return at.ToDatetime(tzinfo=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def metrics_json(metrics: Mapping[str, MetricValues]) -> dict[str, dict[str, float | int | None]]:
    """Metrics by name; counts are integers, and what has no value is null."""
    return {
        name: {key: _number(name, key, value) for key, value in sorted(metrics[name].values.items())}
        for name in sorted(metrics)
    }


def _number(metric: str, key: str, value: float) -> float | int | None:
    if not isfinite(value):
        return None
    is_whole = key == "count" or (key == "value" and metric in METRICS)
    return round(value) if is_whole else value


def errors_json(errors: Iterable[ErrorCount]) -> dict[str, int]:
    """Failed requests by class."""
    counts: Counter[str] = Counter()
    for error in errors:
        counts[error_class_name(error.error_class)] += error.count
    return dict(sorted(counts.items()))


def step_errors_json(statistics: Iterable[WorkflowStats]) -> list[dict[str, Any]]:
    """Failed requests of each step by class, over every protocol and the step's code."""
    return [
        {"workflow": workflow.workflow_name, "step": step.step_name, "error_class": error_class, "count": count}
        for workflow in statistics
        for step in workflow.steps
        for error_class, count in errors_json(_failures_of(step)).items()
    ]


def _failures_of(step: StepStats) -> Iterator[ErrorCount]:
    yield from step.failures
    for protocol in step.protocols:
        yield from protocol.failures


def result_json(job_id: str, result: GlobalJobResult) -> dict[str, Any]:
    """The whole of a finished job: what ``--json`` ends with."""
    document: dict[str, Any] = {
        "job_id": job_id,
        "status": status_name(result.status),
        "verdict": verdict_name(result.verdict),
        "judged": bool(result.thresholds),
        "started_at": iso_utc(result.started_at) if result.HasField("started_at") else None,
        "elapsed_seconds": result.elapsed.ToTimedelta().total_seconds(),
        "datacenters": {part.result.datacenter: _datacenter_json(part) for part in result.datacenters},
        "fallbacks": fallbacks_json(result.fallbacks),
        "metrics": metrics_json(result.metrics),
        "steps": _steps_json(result.steps),
        "thresholds": [_threshold_json(threshold) for threshold in result.thresholds],
        "checks": _checks_json(result.statistics),
        "errors": errors_json(result.request_errors),
        "step_errors": step_errors_json(result.statistics),
        "unreachable": unreachable_json(entry for workflow in result.statistics for entry in workflow.unreachable),
        "generator": generator_state(result.metrics).value,
    }
    exceptions = _exceptions_json(result.statistics)
    if exceptions:
        document["exceptions"] = exceptions
    if result.status != JobStatus.JOB_STATUS_COMPLETED:
        document["reasons"] = list(result.errors)
    return document


def fallbacks_json(moves: Iterable[RoutingFallback]) -> list[dict[str, Any]]:
    """Which datacenters took the places of others, and why."""
    return [
        {
            "from": move.from_datacenter,
            "to": move.to_datacenter,
            "reason": move.reason,
            "at": iso_utc(move.decided_at),
        }
        for move in moves
    ]


def unreachable_json(entries: Iterable[UnreachableAddress]) -> list[dict[str, Any]]:
    """To where requests found no connection, the most frequent first, as many as people want to read."""
    counts: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        counts[entry.address, error_class_name(entry.error_class)] += entry.count
    return [
        {"address": address, "error_class": error_class, "count": count}
        for (address, error_class), count in counts.most_common(_MOST_ADDRESSES)
    ]


def _exceptions_json(statistics: Iterable[WorkflowStats]) -> list[dict[str, Any]]:
    """What went wrong in the job's code, with file and line."""
    return [
        {"workflow": workflow.workflow_name, "step": sample.step_name, "text": sample.text, "count": sample.count}
        for workflow in statistics
        for sample in workflow.error_samples
    ]


def _datacenter_json(part: DatacenterResult) -> dict[str, Any]:
    document: dict[str, Any] = {
        "status": status_name(part.result.status),
        "started_at": iso_utc(part.result.started_at) if part.result.HasField("started_at") else None,
        "metrics": metrics_json(part.metrics),
    }
    load = [workflow for workflow in part.result.statistics if is_load(workflow.workflow_name)]
    errors = errors_json(failure for workflow in load for step in workflow.steps for failure in _failures_of(step))
    if errors:
        document["errors"] = errors
    if part.result.status != JobStatus.JOB_STATUS_COMPLETED:
        document["reasons"] = list(part.result.errors)
    return document


def _steps_json(steps: Iterable[StepMetrics]) -> dict[str, dict[str, Any]]:
    document: dict[str, dict[str, Any]] = {}
    for step in steps:
        document.setdefault(step.workflow_name, {})[step.step_name] = metrics_json(step.metrics)
    return document


def _checks_json(statistics: Iterable[WorkflowStats]) -> list[dict[str, Any]]:
    return [
        {
            "workflow": workflow.workflow_name,
            "step": step.step_name,
            "name": check.name,
            "passes": check.passes,
            "fails": check.fails,
        }
        for workflow in statistics
        for step in workflow.steps
        for check in step.checks
    ]


def _threshold_json(outcome: ThresholdResult) -> dict[str, Any]:
    document: dict[str, Any] = {
        "metric": outcome.threshold.metric,
        "expression": outcome.threshold.expression,
        "observed": outcome.observed if outcome.HasField("observed") else None,
        "passed": outcome.passed,
    }
    if outcome.threshold.abort_on_fail:
        document["abort_on_fail"] = True
    return document


def status_json(status: GlobalJobStatus) -> dict[str, Any]:
    """A job that has not ended, in the shape of its later result as far as it is known."""
    return {"job_id": status.job_id, "status": status_name(status.status)} | _parts_json(status)


def summary_json(job: JobSummary) -> dict[str, Any]:
    """One line of a list of jobs."""
    return {
        "job_id": job.job_id,
        "name": job.name,
        "status": status_name(job.status),
        "verdict": verdict_name(job.verdict) if job.verdict else None,
        "submitted_at": iso_utc(job.submitted_at),
    }


def event_json(event: JobEvent) -> dict[str, Any]:
    """An event as one line of ``--json``; the result's line is `result_json`."""
    kind = event.WhichOneof("event")
    document: dict[str, Any] = {
        "event": kind,
        "job_id": event.job_id,
        "sequence": event.sequence,
        "at": iso_utc(event.at),
    }
    if kind == "status":
        document |= _status_fields(event)
    elif kind == "window":
        document |= _window_fields(event.window)
    elif kind == "snapshot":
        document |= {"status": status_name(event.snapshot.status)} | _parts_json(event.snapshot)
    return document


def _status_fields(event: JobEvent) -> dict[str, Any]:
    push = event.status
    fields: dict[str, Any] = {"status": status_name(push.status), "message": push.message}
    if push.datacenter:
        fields |= {"datacenter": push.datacenter, "datacenter_status": status_name(push.datacenter_status)}
    return fields


def _window_fields(window: JobWindow) -> dict[str, Any]:
    return {
        "window_start": iso_utc(window.window_start),
        "elapsed_seconds": window.elapsed.ToTimedelta().total_seconds(),
        "metrics": metrics_json(window.metrics),
        "totals": metrics_json(window.totals),
        "datacenters": {part.datacenter: metrics_json(part.metrics) for part in window.datacenters},
        "errors": errors_json(window.request_errors),
        "unreachable": unreachable_json(window.unreachable),
        "thresholds": [_threshold_json(threshold) for threshold in window.thresholds],
    }


def _parts_json(status: GlobalJobStatus) -> dict[str, Any]:
    return {
        "metrics": metrics_json(status.metrics),
        "datacenters": {
            part.datacenter: {
                "status": status_name(part.status),
                "message": part.reason,
                "metrics": metrics_json(part.metrics),
            }
            for part in status.datacenters
        },
    }
