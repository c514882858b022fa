"""When a shard must have ended, and when it asks for more time. Times are monotonic seconds.

Law: time is asked for only when work lasts longer than was known before. A load that goes by the clock, and has less time than
that from the start, asks for none while it lasts: whoever submitted it gave the job its timeout.
"""

from __future__ import annotations

import math

from hyperscale.v1.dispatch_pb2 import WorkflowDispatch
from hyperscale.v1.progress_pb2 import (
    EXTENSION_OUTCOME_EXHAUSTED,
    EXTENSION_OUTCOME_GRANTED,
    ExtensionAnswer,
    ExtensionOutcome,
    ExtensionRequest,
)
from hyperscale.v1.statistics_pb2 import WorkflowStats
from hyperscale.workload.profiles import counted_iterations, latest_end_seconds, load_seconds, takes_all_its_time
from hyperscale.workload.timestamps import duration, seconds_of


class ShardDeadline:
    """The deadline of one attempt at a shard.

    Parameters
    ----------
    lead_seconds
        How long before the deadline it begins to ask.
    """

    def __init__(self, dispatch: WorkflowDispatch, lead_seconds: float, now: float) -> None:
        self._shard_id = dispatch.shard_id
        self._attempt = dispatch.attempt
        self._workflow = dispatch.workflow
        self._lead_seconds = lead_seconds
        time_left = seconds_of(dispatch.time_left) if dispatch.HasField("time_left") else math.inf
        self._ends_at = now + time_left
        self._is_by_the_clock = takes_all_its_time(dispatch.workflow)
        self._load_seconds = load_seconds(dispatch.workflow)
        self._never_fitted = self._is_by_the_clock and self._load_seconds > time_left
        self._outcome: ExtensionOutcome.ValueType | None = None

    def is_near(self, now: float) -> bool:
        """Whether it may be time to ask."""
        return self._outcome != EXTENSION_OUTCOME_EXHAUSTED and now >= self._ends_at - self._lead_seconds

    def request(self, totals: WorkflowStats, elapsed_seconds: float | None, now: float) -> ExtensionRequest | None:
        """What to ask of the manager, with what was measured since the first load; None when time is enough."""
        elapsed, left = elapsed_seconds or 0.0, self._ends_at - now
        if self._never_fitted and elapsed < self._load_seconds:
            return None
        latest = latest_end_seconds(self._workflow) - elapsed
        expected = self._expected_seconds(totals.iterations, elapsed)
        if expected <= left or 0 < latest <= left:
            return None
        return ExtensionRequest(
            shard_id=self._shard_id,
            attempt=self._attempt,
            work_done=_work_done(totals),
            ends_in=None if math.isinf(expected) else duration(expected),
            time_left=duration(left),
        )

    def answered(self, answer: ExtensionAnswer, now: float) -> bool:
        """Take an answer over; whether it says something else than the one before."""
        if answer.attempt != self._attempt:
            return False
        is_new = answer.outcome == EXTENSION_OUTCOME_GRANTED or answer.outcome != self._outcome
        self._outcome = answer.outcome
        self._ends_at = now + seconds_of(answer.time_left)
        return is_new

    def _expected_seconds(self, iterations: int, elapsed: float) -> float:
        """When its last iteration will have begun by the clock, or ended as fast as those so far; infinite: nobody knows."""
        if elapsed >= self._load_seconds:
            return math.inf
        if self._is_by_the_clock:
            return self._load_seconds - elapsed
        wanted = counted_iterations(self._workflow)
        if wanted is None or not iterations:
            return math.inf
        return min(elapsed * max(0, wanted - iterations) / iterations, latest_end_seconds(self._workflow) - elapsed)


def _work_done(totals: WorkflowStats) -> int:
    """Whatever has ended: iterations may be long, requests may be outside of what is measured."""
    return totals.iterations + totals.warm_up_requests + sum(step.total_count for step in totals.steps)
