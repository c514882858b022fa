"""What is known of a running job, built up from its events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from graphlib import TopologicalSorter

from hyperscale.client.names import status_name
from hyperscale.client.results import errors_json, unreachable_json
from hyperscale.client.views.numbers import count_text
from hyperscale.v1.gate_service_pb2 import JobEvent, JobWindow
from hyperscale.v1.job_pb2 import GlobalJobStatus, JobStatus, JobSubmission, ThresholdResult
from hyperscale.v1.statistics_pb2 import MetricValues
from hyperscale.v1.workflow_pb2 import Workflow
from hyperscale.workload.profiles import load_seconds, takes_all_its_time

Metrics = Mapping[str, Mapping[str, float]]


def plain_metrics(metrics: Mapping[str, MetricValues]) -> dict[str, dict[str, float]]:
    """Metrics of a message, without the message."""
    return {name: dict(values.values) for name, values in metrics.items()}


class JobProgress:
    """The latest of everything a live view shows.

    Parameters
    ----------
    expected_seconds
        How long the load is expected to last; None when nobody can know.
    clock
        Monotonic seconds.
    """

    def __init__(self, expected_seconds: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.expected_seconds = expected_seconds
        self.job_id = ""
        self.status = "submitting"
        self.message = ""
        self.second: Metrics = {}
        self.totals: Metrics = {}
        self.errors: dict[str, int] = {}
        self.unreachable: dict[str, str] = {}
        self.thresholds: Sequence[ThresholdResult] = ()
        self.datacenter_status: dict[str, str] = {}
        self.datacenter_message: dict[str, str] = {}
        self.datacenter_metrics: dict[str, Metrics] = {}
        self.measured_seconds = 0.0
        self._clock = clock
        self._running_since: float | None = None

    @property
    def elapsed_seconds(self) -> float:
        """Time since the load began, as far as is known; 0 before."""
        return self._clock() - self._running_since if self._running_since is not None else 0.0

    @property
    def error_texts(self) -> list[str]:
        """How often requests have failed, by class; where there was no connection, with the address that is most frequent."""
        return [
            f"{name} {count_text(count)}" + (f" ({self.unreachable[name]})" if name in self.unreachable else "")
            for name, count in self.errors.items()
        ]

    @property
    def remarks(self) -> dict[str, str]:
        """What there is to say of datacenters, by name: what the job waits for there, or why it ended."""
        return {
            name: f"{name} {self.datacenter_status[name]}: {message}"
            for name, message in self.datacenter_message.items()
            if message
        }

    def take(self, event: JobEvent) -> None:
        """Take over what an event says."""
        match event.WhichOneof("event"):
            case "status":
                self._take_status(event)
            case "window":
                self._take_window(event.window)
            case "snapshot":
                self._take_snapshot(event.snapshot)
            case "result":
                self._set_status(event.result.status)
            case None:
                # An event of a newer release: nothing this one can show.
                pass

    def _take_status(self, event: JobEvent) -> None:
        push = event.status
        if push.datacenter:
            self.datacenter_status[push.datacenter] = status_name(push.datacenter_status)
            self.datacenter_message[push.datacenter] = push.message
        else:
            self.message = push.message
        self._set_status(push.status)

    def _take_window(self, window: JobWindow) -> None:
        self.second = plain_metrics(window.metrics)
        self.totals = plain_metrics(window.totals)
        self.errors = errors_json(window.request_errors)
        self.unreachable = {
            entry["error_class"]: entry["address"] for entry in reversed(unreachable_json(window.unreachable))
        }
        self.thresholds = tuple(window.thresholds)
        for part in window.datacenters:
            self.datacenter_metrics[part.datacenter] = plain_metrics(part.metrics)
        self.measured_seconds = window.elapsed.ToTimedelta().total_seconds()
        self._began(self.measured_seconds)

    def _take_snapshot(self, snapshot: GlobalJobStatus) -> None:
        self.totals = plain_metrics(snapshot.metrics)
        for part in snapshot.datacenters:
            self.datacenter_status[part.datacenter] = status_name(part.status)
            self.datacenter_message[part.datacenter] = part.reason
            self.datacenter_metrics[part.datacenter] = plain_metrics(part.metrics)
        self._set_status(snapshot.status)

    def _set_status(self, status: JobStatus.ValueType) -> None:
        if status:
            self.status = status_name(status)
        if status == JobStatus.JOB_STATUS_RUNNING and self._running_since is None:
            self._began(0.0)

    def _began(self, seconds_ago: float) -> None:
        """Load was being made so long ago already: who comes late does not begin at 0."""
        since = self._clock() - seconds_ago
        self._running_since = since if self._running_since is None else min(since, self._running_since)


def expected_seconds(submission: JobSubmission) -> float | None:
    """Time the load takes along the longest chain of workflows; None when a workflow ends by its iterations."""
    workflows = {workflow.name: workflow for workflow in submission.workflows}
    if not all(takes_all_its_time(workflow) for workflow in workflows.values()):
        return None
    ends: dict[str, float] = {}
    for name in _in_order(workflows):
        workflow = workflows[name]
        start = max((ends[dependency] for dependency in workflow.depends_on), default=0.0)
        ends[name] = start + load_seconds(workflow)
    return max(ends.values(), default=None)


def _in_order(workflows: Mapping[str, Workflow]) -> Iterable[str]:
    return TopologicalSorter({name: list(workflow.depends_on) for name, workflow in workflows.items()}).static_order()
