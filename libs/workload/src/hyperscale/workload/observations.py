"""What was observed of a threshold, as people read it beside the limit."""

from __future__ import annotations

from hyperscale.v1.job_pb2 import ThresholdResult
from hyperscale.workload.metric_catalogue import METRICS, MetricKind, MetricUnit


def observed_text(outcome: ThresholdResult) -> str:
    """With so many digits that a value beside the limit does not look like the limit."""
    if not outcome.HasField("observed"):
        return "no sample"
    metric = METRICS.get(outcome.threshold.metric.partition("{")[0].strip())
    expression = outcome.threshold.expression
    is_share = metric is not None and metric.kind is MetricKind.SHARE and expression.lstrip().startswith("rate")
    if is_share or "%" in expression:
        return f"{outcome.observed * 100:.6g}%"
    if metric is not None and metric.unit is MetricUnit.MILLISECONDS:
        return f"{outcome.observed:.6g}ms"
    return f"{outcome.observed:,.15g}" if outcome.observed.is_integer() else f"{outcome.observed:,.6g}"
