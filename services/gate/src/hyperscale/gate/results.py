"""From the datacenters' final results to the result of the job. Pure.

Laws: totals are the exact sums of the datacenters' totals; the verdict is passed only when the job completed and every
threshold holds on the merged statistics.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hyperscale.gate.job_lifecycle import JobStatusValue, job_outcome
from hyperscale.gate.models.orders import StopCause, StopOrder
from hyperscale.v1 import job_pb2
from hyperscale.workload.metrics import MetricSource, errors_of, metrics_of, to_proto
from hyperscale.workload.statistics import merge_by_workflow
from hyperscale.workload.thresholds import parse_threshold
from hyperscale.workload.timestamps import duration, seconds_of, timestamp


def merged_result(
    submission: job_pb2.JobSubmission,
    finals: Sequence[job_pb2.JobFinalResult],
    stop: StopOrder | None,
    is_cancelled: bool,
    now_seconds: float,
) -> job_pb2.GlobalJobResult:
    """The result of a job whose datacenters have all ended their parts.

    Parameters
    ----------
    is_cancelled
        Whether a cancellation was acknowledged, after which the job cannot complete.
    now_seconds
        Wall clock; becomes the end of the job.
    """
    statistics = merge_by_workflow(final.statistics for final in finals)
    elapsed_seconds = _elapsed_seconds(finals)
    source = MetricSource(statistics.values(), elapsed_seconds)
    status = _outcome(finals, stop, is_cancelled)
    thresholds = [_judged(threshold, source) for threshold in submission.thresholds]
    result = job_pb2.GlobalJobResult(
        status=status,
        verdict=_verdict(status, thresholds),
        errors=_errors(finals, stop),
        finished_at=timestamp(now_seconds),
        elapsed=duration(elapsed_seconds),
        datacenters=[_datacenter_result(final) for final in finals],
        statistics=[entry.to_proto() for entry in statistics.values()],
        metrics=to_proto(source.values()),
        thresholds=thresholds,
        request_errors=errors_of(statistics.values()),
    )
    starts = _starts(finals)
    if starts:
        result.started_at.CopyFrom(timestamp(min(starts)))
    return result


def unjudged_result(
    status: JobStatusValue, reason: str, parts: Iterable[job_pb2.JobFinalResult], now_seconds: float
) -> job_pb2.GlobalJobResult:
    """The result of a job that ends without what its datacenters have measured."""
    return job_pb2.GlobalJobResult(
        status=status,
        verdict=job_pb2.VERDICT_FAILED,
        errors=[reason],
        finished_at=timestamp(now_seconds),
        elapsed=duration(0),
        datacenters=[job_pb2.DatacenterResult(result=part) for part in parts],
    )


def _outcome(finals: Iterable[job_pb2.JobFinalResult], stop: StopOrder | None, is_cancelled: bool) -> JobStatusValue:
    statuses = {final.status for final in finals}
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


def _judged(threshold: job_pb2.Threshold, source: MetricSource) -> job_pb2.ThresholdResult:
    observed, passed = parse_threshold(threshold.metric, threshold.expression).evaluate(source)
    return job_pb2.ThresholdResult(threshold=threshold, observed=observed, passed=passed)


def _datacenter_result(final: job_pb2.JobFinalResult) -> job_pb2.DatacenterResult:
    statistics = merge_by_workflow([final.statistics]).values()
    return job_pb2.DatacenterResult(result=final, metrics=to_proto(metrics_of(statistics, _elapsed_seconds([final]))))


def _starts(finals: Iterable[job_pb2.JobFinalResult]) -> list[float]:
    return [seconds_of(final.started_at) for final in finals if final.HasField("started_at")]


def _elapsed_seconds(finals: Sequence[job_pb2.JobFinalResult]) -> float:
    """From the first load to the last; 0 when none was made."""
    starts = _starts(finals)
    ends = [seconds_of(final.finished_at) for final in finals if final.HasField("finished_at")]
    return max(0.0, max(ends) - min(starts)) if starts and ends else 0.0
