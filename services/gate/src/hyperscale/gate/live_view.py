"""How an unfinished job looks to people: its snapshot, and each second of its run. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hyperscale.gate.job_lifecycle import JobStatusValue
from hyperscale.gate.models.part import DatacenterPart
from hyperscale.gate.stats import GlobalStatistics
from hyperscale.v1 import gate_service_pb2, job_pb2, record_pb2
from hyperscale.workload.metrics import errors_of, metrics_of, to_proto
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
    return job_pb2.GlobalJobStatus(
        job_id=record.job_id,
        name=record.submission.name,
        status=status,
        gate_id=record.gate_id,
        submitted_at=record.submitted_at,
        datacenters=[_datacenter_status(part, statistics, now_seconds) for part in parts.values()],
        metrics=to_proto(metrics_of(statistics.over_all().values(), _elapsed(parts.values(), now_seconds))),
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
    """Seconds of a run that close together, with the metrics since the start, which they have in common."""

    def __init__(self, parts: Mapping[str, DatacenterPart], statistics: GlobalStatistics) -> None:
        self._parts = parts
        self._by_datacenter = {name: statistics.of(name) for name in parts}
        self._totals = statistics.over_all()
        self._errors = errors_of(self._totals.values())

    def of(self, window: MergedWindow) -> gate_service_pb2.JobWindow:
        """The event of one second."""
        end_seconds = window.window_start_seconds + WINDOW_SECONDS
        return gate_service_pb2.JobWindow(
            window_start=timestamp(window.window_start_seconds),
            metrics=to_proto(metrics_of(window.statistics.values(), WINDOW_SECONDS)),
            totals=to_proto(metrics_of(self._totals.values(), _elapsed(self._parts.values(), end_seconds))),
            datacenters=[
                gate_service_pb2.DatacenterMetrics(
                    datacenter=name,
                    metrics=to_proto(metrics_of(statistics.values(), _elapsed([self._parts[name]], end_seconds))),
                )
                for name, statistics in self._by_datacenter.items()
            ],
            request_errors=self._errors,
        )


def _datacenter_status(
    part: DatacenterPart, statistics: GlobalStatistics, now_seconds: float
) -> job_pb2.DatacenterStatus:
    return job_pb2.DatacenterStatus(
        datacenter=part.datacenter,
        status=part.status,
        reason=part.reason,
        workflows=part.workflows,
        metrics=to_proto(metrics_of(statistics.of(part.datacenter).values(), _elapsed([part], now_seconds))),
    )


def _elapsed(parts: Iterable[DatacenterPart], now_seconds: float) -> float:
    """Seconds since the first load; 0 before it, and never negative when clocks differ."""
    starts = [part.started_at_seconds for part in parts if part.started_at_seconds is not None]
    return max(0.0, now_seconds - min(starts)) if starts else 0.0
