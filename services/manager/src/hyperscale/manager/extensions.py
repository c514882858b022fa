"""More time for shards that need it: who gets how much, and until when a shard and its job have time then.

Laws: each grant is half of the one before, and no shard gets more than five; there is none without progress since the last
one, none that moves nothing, and one only for a need that no earlier one has met; a job's timeout is later by the most that
one of its shards was granted. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from hyperscale.manager.models.extension import ExtensionVerdict, ExtensionWish, GrantedTime
from hyperscale.manager.models.job import AssignedShard, DatacenterJob
from hyperscale.v1.progress_pb2 import (
    EXTENSION_OUTCOME_ENOUGH,
    EXTENSION_OUTCOME_EXHAUSTED,
    EXTENSION_OUTCOME_GRANTED,
    EXTENSION_OUTCOME_NO_PROGRESS,
    EXTENSION_OUTCOME_OUT_OF_REACH,
    ExtensionOutcome,
)

MOST_GRANTS: Final = 5
SHORTEST_GRANT_SECONDS: Final = 1.0
_CLOCK_DRIFT_SECONDS: Final = SHORTEST_GRANT_SECONDS / 2
"""What two clocks differ by, at most, is less than any grant."""


@dataclass(frozen=True, slots=True)
class ExtensionPolicy:
    """Who gets how much.

    Attributes
    ----------
    first_seconds
        The first grant; 0: nobody gets any.
    """

    first_seconds: float

    def judge(self, granted: GrantedTime, wish: ExtensionWish) -> ExtensionVerdict:
        """Whether a shard with these grants gets another one."""
        outcome = self._outcome(granted, wish)
        if outcome != EXTENSION_OUTCOME_GRANTED:
            return ExtensionVerdict(outcome, granted)
        seconds = granted.seconds + self.grant_seconds(granted.grants)
        return ExtensionVerdict(outcome, GrantedTime(granted.grants + 1, seconds, wish.work_done))

    def grant_seconds(self, grants: int) -> float:
        """The grant that follows so many."""
        return max(SHORTEST_GRANT_SECONDS, self.first_seconds / 2.0**grants)

    def _outcome(self, granted: GrantedTime, wish: ExtensionWish) -> ExtensionOutcome.ValueType:
        if granted.grants >= MOST_GRANTS or not self.first_seconds:
            return EXTENSION_OUTCOME_EXHAUSTED
        is_in_time = wish.missing_seconds is not None and wish.missing_seconds <= 0
        if is_in_time or wish.unknown_seconds > _CLOCK_DRIFT_SECONDS:
            return EXTENSION_OUTCOME_ENOUGH
        if wish.work_done <= granted.work_done:
            return EXTENSION_OUTCOME_NO_PROGRESS
        if wish.missing_seconds is not None and wish.missing_seconds > self._seconds_left(granted):
            return EXTENSION_OUTCOME_OUT_OF_REACH
        return EXTENSION_OUTCOME_GRANTED

    def _seconds_left(self, granted: GrantedTime) -> float:
        return sum(map(self.grant_seconds, range(granted.grants, MOST_GRANTS)))


def granted_so_far(job: DatacenterJob, shard: AssignedShard) -> GrantedTime:
    """What the next grant to a shard comes after.

    Where the job's timeout limits it, that is whatever has moved the timeout: a grant of its own that is smaller would move
    nothing.
    """
    if shard.ends_at_seconds < job.ends_at_seconds:
        return shard.extension
    most = max((each.extension for each in job.shards()), key=lambda granted: granted.seconds)
    return GrantedTime(most.grants, most.seconds, shard.extension.work_done)


def time_left_seconds(job: DatacenterJob, shard: AssignedShard, now_monotonic: float) -> float | None:
    """Until a shard must have ended, for its own sake or the job's; None when nothing limits it."""
    ends_at = min(shard.ends_at_seconds, job.ends_at_seconds)
    return None if math.isinf(ends_at) else max(0.0, ends_at - now_monotonic)
