"""The thresholds of a job, on what has been measured so far and at the end. Pure.

Laws: a threshold is judged on the merged statistics alone; one that stops the job does so only after its delay, and never
for want of a sample.
"""

from __future__ import annotations

from collections.abc import Iterable

from hyperscale.v1 import job_pb2
from hyperscale.workload.metrics import JobMetrics
from hyperscale.workload.observations import observed_text
from hyperscale.workload.thresholds import parse_threshold
from hyperscale.workload.timestamps import seconds_of


class JobThresholds:
    """The thresholds of one job, in the order of the submission."""

    def __init__(self, thresholds: Iterable[job_pb2.Threshold]) -> None:
        self._rules = [(threshold, parse_threshold(threshold.metric, threshold.expression)) for threshold in thresholds]

    @property
    def can_stop(self) -> bool:
        """Whether any of them can stop the job."""
        return any(threshold.abort_on_fail for threshold, _ in self._rules)

    def judged(self, metrics: JobMetrics) -> list[job_pb2.ThresholdResult]:
        """How each threshold stands."""
        results = []
        for threshold, rule in self._rules:
            observed, passed = rule.evaluate(metrics)
            results.append(job_pb2.ThresholdResult(threshold=threshold, observed=observed, passed=passed))
        return results

    def broken(self, metrics: JobMetrics, elapsed_seconds: float) -> job_pb2.ThresholdResult | None:
        """The first threshold for which the job is to be stopped.

        Parameters
        ----------
        elapsed_seconds
            Since the first load.
        """
        return next((result for result in self.judged(metrics) if _stops(result, elapsed_seconds)), None)


def reason_of(broken: job_pb2.ThresholdResult) -> str:
    """Why a job was stopped, for people."""
    threshold = broken.threshold
    return f"threshold {threshold.metric}: {threshold.expression} was not met (observed {observed_text(broken)})"


def _stops(result: job_pb2.ThresholdResult, elapsed_seconds: float) -> bool:
    threshold = result.threshold
    if result.passed or not threshold.abort_on_fail or not result.HasField("observed"):
        return False
    return elapsed_seconds >= seconds_of(threshold.abort_delay)
