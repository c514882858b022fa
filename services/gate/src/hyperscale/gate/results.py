"""From the datacenters' final results to the result of the job. Pure.

Laws: totals are the exact sums of the datacenters' totals; the verdict is passed only when the job completed and every
threshold holds on the merged statistics.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hyperscale.gate.job_lifecycle import JobStatusValue, job_outcome
from hyperscale.gate.models.orders import StopCause, StopOrder
from hyperscale.gate.thresholds import JobThresholds
from hyperscale.v1 import job_pb2
from hyperscale.workload.concurrency import most_users_at_once
from hyperscale.workload.metrics import JobMetrics, MetricSource, errors_of, steps_of, to_proto
from hyperscale.workload.statistics import merge_by_workflow
from hyperscale.workload.timestamps import duration, seconds_of, timestamp


@dataclass(frozen=True, slots=True)
class JobEnd:
    """When a job ended.

    Attributes
    ----------
    at_seconds
        Wall clock.
    elapsed_seconds
        From the first load to the last, on the gate's monotonic clock.
    """

    at_seconds: float
    elapsed_seconds: float


def merged_result(
    submission: job_pb2.JobSubmission,
    finals: Sequence[job_pb2.JobFinalResult],
    stop: StopOrder | None,
    is_cancelled: bool,
    end: JobEnd,
) -> job_pb2.GlobalJobResult:
    """The result of a job whose datacenters have all ended their parts.

    Parameters
    ----------
    is_cancelled
        Whether a cancellation was acknowledged, after which the job cannot complete.
    """
    statistics = merge_by_workflow(final.statistics for final in finals)
    most_users = {final.datacenter: _most_users(final) for final in finals}
    metrics = JobMetrics(
        MetricSource(statistics.values(), end.elapsed_seconds, most_users=sum(most_users.values())),
        {final.datacenter: _metrics(final, most_users[final.datacenter]) for final in finals},
    )
    status = _outcome(finals, stop, is_cancelled)
    thresholds = _judged(submission, metrics, stop)
    result = job_pb2.GlobalJobResult(
        status=status,
        verdict=_verdict(status, thresholds),
        errors=_errors(finals, stop),
        finished_at=timestamp(end.at_seconds),
        elapsed=duration(end.elapsed_seconds),
        datacenters=[_datacenter_result(final, metrics.datacenters[final.datacenter]) for final in finals],
        statistics=[entry.to_proto() for entry in statistics.values()],
        metrics=to_proto(metrics.total.values()),
        thresholds=thresholds,
        request_errors=errors_of(statistics.values()),
        steps=steps_of(statistics.values(), end.elapsed_seconds),
    )
    starts = [seconds_of(final.started_at) for final in finals if final.HasField("started_at")]
    if starts:
        result.started_at.CopyFrom(timestamp(min(starts)))
    return result


def unjudged_result(
    submission: job_pb2.JobSubmission,
    status: JobStatusValue,
    reason: str,
    parts: Iterable[job_pb2.JobFinalResult],
    now_seconds: float,
) -> job_pb2.GlobalJobResult:
    """The result of a job that ends without what its datacenters have measured: no threshold has a value, none holds."""
    return job_pb2.GlobalJobResult(
        status=status,
        verdict=job_pb2.VERDICT_FAILED,
        errors=[reason],
        finished_at=timestamp(now_seconds),
        elapsed=duration(0),
        datacenters=[job_pb2.DatacenterResult(result=part) for part in parts],
        thresholds=[job_pb2.ThresholdResult(threshold=threshold) for threshold in submission.thresholds],
    )


def _outcome(finals: Iterable[job_pb2.JobFinalResult], stop: StopOrder | None, is_cancelled: bool) -> JobStatusValue:
    statuses = {final.status for final in finals}
    if stop is not None and stop.cause in {StopCause.THRESHOLD, StopCause.GATE_LOST}:
        statuses.add(job_pb2.JOB_STATUS_FAILED)
    if is_cancelled:
        statuses.add(job_pb2.JOB_STATUS_CANCELLED)
    elif stop is not None and stop.cause is StopCause.TIMEOUT:
        # Datacenters were told to cancel because time was up: that is a timeout, not somebody's wish.
        statuses.discard(job_pb2.JOB_STATUS_CANCELLED)
        statuses.add(job_pb2.JOB_STATUS_TIMEOUT)
    return job_outcome(statuses)


def _errors(finals: Iterable[job_pb2.JobFinalResult], stop: StopOrder | None) -> list[str]:
    """The reason for stopping first, unless a datacenter's own error is that reason; then each datacenter's errors."""
    reasons = [] if stop is None or stop.cause is StopCause.DATACENTER_FAILED else [stop.reason]
    return reasons + [f"{final.datacenter}: {error}" for final in finals for error in final.errors]


def _verdict(status: JobStatusValue, thresholds: Iterable[job_pb2.ThresholdResult]) -> job_pb2.Verdict.ValueType:
    passed = status == job_pb2.JOB_STATUS_COMPLETED and all(threshold.passed for threshold in thresholds)
    return job_pb2.VERDICT_PASSED if passed else job_pb2.VERDICT_FAILED


def _judged(
    submission: job_pb2.JobSubmission, metrics: JobMetrics, stop: StopOrder | None
) -> list[job_pb2.ThresholdResult]:
    results = JobThresholds(submission.thresholds).judged(metrics)
    for result in results:
        # What was measured while the job was being stopped acquits nobody.
        result.passed = result.passed and (stop is None or stop.threshold != result.threshold)
    return results


def _most_users(final: job_pb2.JobFinalResult) -> int:
    return most_users_at_once(merge_by_workflow([final.statistics]).values(), final.workflows)


def _metrics(final: job_pb2.JobFinalResult, most_users: int) -> MetricSource:
    statistics = merge_by_workflow([final.statistics]).values()
    return MetricSource(statistics, seconds_of(final.elapsed), most_users=most_users)


def _datacenter_result(final: job_pb2.JobFinalResult, metrics: MetricSource) -> job_pb2.DatacenterResult:
    return job_pb2.DatacenterResult(result=final, metrics=to_proto(metrics.values()))
