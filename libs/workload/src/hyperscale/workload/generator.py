"""How well the generator itself did: what it could not start, how late it was, how much of the time it was at its limit."""

from __future__ import annotations

from dataclasses import dataclass, field

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.workload.histogram import Histogram


@dataclass(slots=True)
class GeneratorStatistics:
    """What engines observed of themselves."""

    dropped_iterations: int = 0
    """Iterations of an arrival rate that were due while all users were busy."""
    lag_ms: Histogram = field(default_factory=Histogram)
    """How late timers and starts were, in milliseconds."""
    start_lag_ms: Histogram = field(default_factory=Histogram)
    """How long after the agreed instant engines began, in milliseconds; one value per engine."""
    seconds: int = 0
    """Seconds of engines observed."""
    saturated_seconds: int = 0
    """Those of them in which the engine was at its limit."""
    warm_up_requests: int = 0
    """Requests that are in no other number."""

    def merge(self, other: GeneratorStatistics) -> None:
        """Add what other engines, or other times, observed."""
        self.dropped_iterations += other.dropped_iterations
        self.lag_ms.merge(other.lag_ms)
        self.start_lag_ms.merge(other.start_lag_ms)
        self.seconds += other.seconds
        self.saturated_seconds += other.saturated_seconds
        self.warm_up_requests += other.warm_up_requests

    def fill(self, message: pb.WorkflowStats) -> None:
        """Write it into the message of its workflow."""
        message.dropped_iterations = self.dropped_iterations
        message.warm_up_requests = self.warm_up_requests
        if self.lag_ms.count:
            message.engine_lag_ms.CopyFrom(self.lag_ms.to_proto())
        if self.start_lag_ms.count:
            message.start_lag_ms.CopyFrom(self.start_lag_ms.to_proto())
        if self.seconds:
            message.saturation.CopyFrom(pb.Saturation(seconds=self.seconds, saturated_seconds=self.saturated_seconds))

    @staticmethod
    def from_proto(message: pb.WorkflowStats) -> GeneratorStatistics:
        """What the message of a workflow tells. Raises HistogramError when a lag is not a histogram."""
        return GeneratorStatistics(
            dropped_iterations=message.dropped_iterations,
            lag_ms=Histogram.from_proto(message.engine_lag_ms),
            start_lag_ms=Histogram.from_proto(message.start_lag_ms),
            seconds=message.saturation.seconds,
            saturated_seconds=message.saturation.saturated_seconds,
            warm_up_requests=message.warm_up_requests,
        )
