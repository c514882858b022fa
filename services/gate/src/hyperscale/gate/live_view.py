"""How an unfinished job looks to people: its snapshot, and each second of its run. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Self

from hyperscale.gate.job_lifecycle import JobStatusValue
from hyperscale.gate.models.part import DatacenterPart
from hyperscale.gate.stats import GlobalStatistics
from hyperscale.gate.thresholds import JobThresholds
from hyperscale.v1 import gate_service_pb2, job_pb2, record_pb2, routing_pb2
from hyperscale.workload.concurrency import most_users_at_once
from hyperscale.workload.metrics import JobMetrics, MetricSource, errors_of, metrics_of, to_proto, unreachable_of
from hyperscale.workload.spans import LoadSpans
from hyperscale.workload.timestamps import duration, seconds_of, timestamp
from hyperscale.workload.windows import WINDOW_SECONDS, MergedWindow

_SHORTEST_SECONDS: Final = 0.01
"""A rate over less says more of the clocks than of the load."""


def job_status(
    record: record_pb2.JobRecord,
    status: JobStatusValue,
    parts: Mapping[str, DatacenterPart],
    measured: LiveMetrics,
) -> job_pb2.GlobalJobStatus:
    """A job that has not ended, as it stands."""
    live = measured.metrics()
    return job_pb2.GlobalJobStatus(
        job_id=record.job_id,
        name=record.submission.name,
        status=status,
        gate_id=record.gate_id,
        submitted_at=record.submitted_at,
        datacenters=[_datacenter_status(part, live.datacenters[name]) for name, part in parts.items()],
        metrics=to_proto(live.total.values()),
        routing=_routing(record),
    )


def stored_job_status(record: record_pb2.JobRecord) -> job_pb2.GlobalJobStatus:
    """A job as the store has it."""
    status = job_pb2.GlobalJobStatus(
        job_id=record.job_id,
        name=record.submission.name,
        status=record.status,
        gate_id=record.gate_id,
        submitted_at=record.submitted_at,
        routing=_routing(record),
    )
    if not record.HasField("result"):
        status.datacenters.extend(
            job_pb2.DatacenterStatus(datacenter=name, status=record.status) for name in record.datacenters
        )
        return status
    status.result.CopyFrom(record.result)
    status.datacenters.extend(
        job_pb2.DatacenterStatus(
            datacenter=part.result.datacenter,
            status=part.result.status,
            reason="; ".join(part.result.errors),
            workflows=part.result.workflows,
        )
        for part in record.result.datacenters
    )
    return status


def _routing(record: record_pb2.JobRecord) -> routing_pb2.RoutingDecision | None:
    return record.routing if record.HasField("routing") else None


class WindowView:
    """Seconds of a run that close together, with the totals since the start, which they have in common."""

    def __init__(self, parts: Mapping[str, DatacenterPart], measured: LiveMetrics, thresholds: JobThresholds) -> None:
        live = measured.metrics()
        self._seconds = LoadedSeconds.of(parts.values())
        self._totals = to_proto(live.total.values())
        self._datacenters = [
            gate_service_pb2.DatacenterMetrics(datacenter=name, metrics=to_proto(source.values()))
            for name, source in live.datacenters.items()
        ]
        self._errors = errors_of(measured.by_workflow.values())
        self._unreachable = unreachable_of(measured.by_workflow.values())
        self._thresholds = thresholds.judged(live)

    def of(self, window: MergedWindow) -> gate_service_pb2.JobWindow:
        """The event of one second."""
        start_seconds = window.window_start_seconds
        return gate_service_pb2.JobWindow(
            window_start=timestamp(start_seconds),
            elapsed=duration(self._seconds.elapsed_at(start_seconds + WINDOW_SECONDS)),
            metrics=to_proto(metrics_of(window.statistics.values(), self._seconds.within(start_seconds))),
            totals=self._totals,
            datacenters=self._datacenters,
            request_errors=self._errors,
            unreachable=self._unreachable,
            thresholds=self._thresholds,
        )


@dataclass(frozen=True, slots=True)
class LoadedSeconds:
    """When load is made, by the wall clock of workers, as windows are: a second at its edge is measured in part only."""

    started_at_seconds: float | None
    ended_at_seconds: float | None

    @classmethod
    def of(cls, parts: Iterable[DatacenterPart]) -> Self:
        """From the first load of all parts, to the last one once every part is done."""
        every = tuple(parts)
        starts = [part.started_at_seconds for part in every if part.started_at_seconds is not None]
        results = [part.result for part in every if part.result is not None]
        ends = [seconds_of(r.started_at) + seconds_of(r.elapsed) for r in results if r.HasField("started_at")]
        is_over = len(results) == len(every) and bool(ends)
        return cls(min(starts, default=None), max(ends) if is_over else None)

    def elapsed_at(self, at_seconds: float) -> float:
        """Seconds from the first load to an instant, or to the end of the load; 0 before, also when clocks differ."""
        return 0.0 if self.started_at_seconds is None else max(0.0, self._clip(at_seconds) - self.started_at_seconds)

    def within(self, start_seconds: float) -> float:
        """How much of the second that begins at an instant load was made in; all of it when clocks contradict that."""
        end_seconds = self._clip(start_seconds + WINDOW_SECONDS)
        begin_seconds = max(start_seconds, self.started_at_seconds or start_seconds)
        covered = end_seconds - begin_seconds
        return covered if covered >= _SHORTEST_SECONDS else float(WINDOW_SECONDS)

    def _clip(self, at_seconds: float) -> float:
        return at_seconds if self.ended_at_seconds is None else min(at_seconds, self.ended_at_seconds)


class LiveMetrics:
    """What has been measured so far, with the rates that it has at an instant (monotonic).

    Parameters
    ----------
    parts
        Of the load, for when its workflows ran.
    """

    def __init__(
        self,
        statistics: GlobalStatistics,
        spans: LoadSpans[str],
        parts: Mapping[str, DatacenterPart],
        now_seconds: float,
    ) -> None:
        self.by_workflow = statistics.over_all()
        self._by_datacenter = {name: statistics.of(name) for name in statistics.datacenters}
        self._most_users = {
            name: most_users_at_once(totals.values(), parts[name].workflows if name in parts else ())
            for name, totals in self._by_datacenter.items()
        }
        self._spans = spans
        self._now_seconds = now_seconds

    def metrics(self) -> JobMetrics:
        """Their metrics."""
        seconds, most_users = self._spans.seconds(self._now_seconds), self._most_users
        return JobMetrics(
            MetricSource(self.by_workflow.values(), seconds, most_users=sum(most_users.values())),
            {
                name: MetricSource(
                    statistics.values(),
                    self._spans.seconds_of(name, self._now_seconds),
                    most_users=most_users[name],
                )
                for name, statistics in self._by_datacenter.items()
            },
        )


def _datacenter_status(part: DatacenterPart, metrics: MetricSource) -> job_pb2.DatacenterStatus:
    return job_pb2.DatacenterStatus(
        datacenter=part.datacenter,
        status=part.status,
        reason=part.reason,
        workflows=part.workflows,
        metrics=to_proto(metrics.values()),
    )
