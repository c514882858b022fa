"""Stopping a job because of what it has measured so far.

Laws: what was measured is judged soon after it came, at most once a second; without news nothing is judged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from hyperscale.gate.live_view import LiveMetrics
from hyperscale.gate.models.orders import StopCause, StopOrder
from hyperscale.gate.models.part import DatacenterPart
from hyperscale.gate.stats import GlobalStatistics
from hyperscale.gate.thresholds import JobThresholds, reason_of
from hyperscale.runtime.clock import Clock
from hyperscale.workload.spans import LoadSpans

_PAUSE_SECONDS: Final = 1.0


class EarlyStop:
    """Watches over the thresholds of one job that have `abort_on_fail`."""

    def __init__(self, thresholds: JobThresholds, clock: Clock) -> None:
        self._thresholds = thresholds
        self._clock = clock
        self._has_news = False
        self._judged_at_seconds = -math.inf

    def measured(self) -> None:
        """Note that something was measured."""
        self._has_news = self._thresholds.can_stop

    def order(
        self, statistics: GlobalStatistics, spans: LoadSpans[str], parts: Mapping[str, DatacenterPart]
    ) -> StopOrder | None:
        """The order to stop, when a threshold does not hold; None also when it is too early to ask again."""
        now_seconds = self._clock.monotonic()
        if not self._has_news or now_seconds < self._judged_at_seconds + _PAUSE_SECONDS:
            return None
        self._has_news, self._judged_at_seconds = False, now_seconds
        live = LiveMetrics(statistics, spans, parts, now_seconds)
        broken = self._thresholds.broken(live.metrics(), spans.seconds(now_seconds))
        if broken is None:
            return None
        return StopOrder(StopCause.THRESHOLD, reason_of(broken), now_seconds, broken.threshold)
