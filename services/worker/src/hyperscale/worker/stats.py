"""What one shard has measured: the cumulative totals of its engines, and the windows they closed."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection

from hyperscale.v1.engine_pb2 import EngineProgress
from hyperscale.v1.statistics_pb2 import StatsWindow, WorkflowStats
from hyperscale.workload.slots import SlotTotals
from hyperscale.workload.statistics import WorkflowStatistics
from hyperscale.workload.timestamps import seconds_of, timestamp
from hyperscale.workload.windows import MergedWindow, WindowMerger

_MAX_CLOSED_WINDOWS = 120


class ShardTimes:
    """When the engines of a shard made load. They are on one machine and have anchored its wall clock once per run, so that
    their starts compare; lengths, and the time since the last report, are monotonic.
    """

    def __init__(self) -> None:
        self.started_at_seconds: float | None = None
        """Wall clock of the first load; None before."""
        self._ended_at_seconds = 0.0
        self._heard_at = 0.0

    def note(self, progress: EngineProgress, now_monotonic: float) -> None:
        """Take over how long an engine has measured."""
        if not progress.HasField("started_at"):
            return
        started_at = seconds_of(progress.started_at)
        self.started_at_seconds = min(started_at, self.started_at_seconds or started_at)
        self._ended_at_seconds = max(started_at + seconds_of(progress.elapsed), self._ended_at_seconds)
        self._heard_at = now_monotonic

    def elapsed_seconds(self) -> float | None:
        """From the first load to the last that is known; None when there was none."""
        return None if self.started_at_seconds is None else self._ended_at_seconds - self.started_at_seconds

    def elapsed_until(self, now_monotonic: float) -> float | None:
        """From the first load to now; None when there was none."""
        elapsed = self.elapsed_seconds()
        return None if elapsed is None else elapsed + now_monotonic - self._heard_at


class ShardStatistics:
    """Merges the reports of a shard's engines; windows only feed the live view, totals travel separately."""

    def __init__(self, workflow_name: str, window_tolerance_seconds: float) -> None:
        self._workflow_name = workflow_name
        self._totals: SlotTotals[int] = SlotTotals()
        self._windows: WindowMerger[int] = WindowMerger(window_tolerance_seconds)
        self._closed: deque[MergedWindow] = deque(maxlen=_MAX_CLOSED_WINDOWS)

    @property
    def has_closed_windows(self) -> bool:
        """Whether windows wait to be taken."""
        return bool(self._closed)

    def add(self, slot: int, sequence: int, progress: EngineProgress) -> None:
        """Take over a report of the engine in a slot. Raises ValueError when it cannot be what an engine measured."""
        if progress.HasField("totals"):
            self._totals.update(slot, sequence, [WorkflowStatistics.from_proto(progress.totals)])
        for window in progress.windows:
            self._windows.add(slot, window.window_start.seconds, [WorkflowStatistics.from_proto(window.stats)])

    def close_due(self, running_slots: Collection[int], now_seconds: float) -> None:
        """Close windows that every running engine has delivered, and those whose tolerance is over.

        Without a running engine nothing more can come: every window closes.
        """
        now_seconds = now_seconds if running_slots else math.inf
        self._closed.extend(self._windows.close_due(now_seconds, running_slots))

    def take_windows(self) -> list[StatsWindow]:
        """The windows closed since the last call; the oldest are missing when nobody took them for two minutes."""
        taken = [
            StatsWindow(window_start=timestamp(window.window_start_seconds), stats=stats.to_proto())
            for window in self._closed
            for stats in window.statistics.values()
        ]
        self._closed.clear()
        return taken

    def totals(self) -> WorkflowStats:
        """The sum of what the engines counted, as far as they have reported."""
        merged = self._totals.totals().get(self._workflow_name)
        return WorkflowStats(workflow_name=self._workflow_name) if merged is None else merged.to_proto()
