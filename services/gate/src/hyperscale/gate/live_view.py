"""How an unfinished job looks to people: its snapshot, and each second of its run. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hyperscale.gate.job_lifecycle import JobStatusValue
from hyperscale.gate.models.part import DatacenterPart
from hyperscale.gate.stats import GlobalStatistics
from hyperscale.gate.thresholds import JobThresholds
from hyperscale.v1 import gate_service_pb2, job_pb2, record_pb2
from hyperscale.workload.metrics import JobMetrics, MetricSource, errors_of, metrics_of, to_proto
from hyperscale.workload.timestamps import timestamp
from hyperscale.workload.windows import WINDOW_SECONDS, MergedWindow


def job_status(
    record: record_pb2.JobRecord,
    status: JobStatusValue,
    parts: Mapping[str, DatacenterPart],
    statistics: GlobalStatistics,
    now_seconds: float,
) -> job_pb2.GlobalJobStatus:
    """A job that has not ended, as it stands."""
    live = LiveMetrics(parts, statistics).at(now_seconds)
    return job_pb2.GlobalJobStatus(
        job_id=record.job_id,
        name=record.submission.name,
        status=status,
        gate_id=record.gate_id,
        submitted_at=record.submitted_at,
        datacenters=[_datacenter_status(part, live.datacenters[name]) for name, part in parts.items()],
        metrics=to_proto(live.total.values()),
    )


def stored_job_status(record: record_pb2.JobRecord) -> job_pb2.GlobalJobStatus:
    """A job as the store has it."""
    status = job_pb2.GlobalJobStatus(
        job_id=record.job_id,
        name=record.submission.name,
        status=record.status,
        gate_id=record.gate_id,
        submitted_at=record.submitted_at,
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


class WindowView:
    """Seconds of a run that close together, with the totals since the start, which they have in common."""

    def __init__(
        self, parts: Mapping[str, DatacenterPart], statistics: GlobalStatistics, thresholds: JobThresholds
    ) -> None:
        self._live = LiveMetrics(parts, statistics)
        self._thresholds = thresholds
        self._errors = errors_of(statistics.over_all().values())

    def of(self, window: MergedWindow) -> gate_service_pb2.JobWindow:
        """The event of one second."""
        live = self._live.at(window.window_start_seconds + WINDOW_SECONDS)
        return gate_service_pb2.JobWindow(
            window_start=timestamp(window.window_start_seconds),
            metrics=to_proto(metrics_of(window.statistics.values(), WINDOW_SECONDS)),
            totals=to_proto(live.total.values()),
            datacenters=[
                gate_service_pb2.DatacenterMetrics(datacenter=name, metrics=to_proto(source.values()))
                for name, source in live.datacenters.items()
            ],
            request_errors=self._errors,
            thresholds=self._thresholds.judged(live),
        )


class LiveMetrics:
    """What has been measured so far, with the rates that it has at one instant or another."""

    def __init__(self, parts: Mapping[str, DatacenterPart], statistics: GlobalStatistics) -> None:
        self._parts = parts
        self._by_datacenter = {name: statistics.of(name) for name in parts}
        self._totals = statistics.over_all()

    def at(self, now_seconds: float) -> JobMetrics:
        """The metrics at an instant (wall clock)."""
        return JobMetrics(
            MetricSource(self._totals.values(), elapsed_seconds(self._parts.values(), now_seconds)),
            {
                name: MetricSource(statistics.values(), elapsed_seconds([self._parts[name]], now_seconds))
                for name, statistics in self._by_datacenter.items()
            },
        )


def elapsed_seconds(parts: Iterable[DatacenterPart], now_seconds: float) -> float:
    """Seconds since the first load; 0 before it, and never negative when clocks differ."""
    starts = [part.started_at_seconds for part in parts if part.started_at_seconds is not None]
    return max(0.0, now_seconds - min(starts)) if starts else 0.0


def _datacenter_status(part: DatacenterPart, metrics: MetricSource) -> job_pb2.DatacenterStatus:
    return job_pb2.DatacenterStatus(
        datacenter=part.datacenter,
        status=part.status,
        reason=part.reason,
        workflows=part.workflows,
        metrics=to_proto(metrics.values()),
    )
