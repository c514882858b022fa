"""Thresholds as people read them, live and at the end."""

from __future__ import annotations

from hyperscale.v1.job_pb2 import ThresholdResult
from hyperscale.workload.observations import observed_text

PASSED_MARK = "✓"
FAILED_MARK = "✗"


def threshold_text(outcome: ThresholdResult) -> str:
    """``✓ http_req_duration: p(95) < 300ms  (observed 31.25ms)``."""
    mark = PASSED_MARK if outcome.passed else FAILED_MARK
    return f"{mark} {outcome.threshold.metric}: {outcome.threshold.expression}  (observed {observed_text(outcome)})"
