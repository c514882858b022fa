"""What a job has measured in this datacenter: exact totals, and the seconds for the live view."""

from __future__ import annotations

import math
from collections.abc import Iterable

from hyperscale.v1.progress_pb2 import WindowedStatsPush
from hyperscale.v1.statistics_pb2 import StatsWindow, WorkflowStats
from hyperscale.workload.slots import SlotTotals
from hyperscale.workload.statistics import WorkflowStatistics
from hyperscale.workload.timestamps import timestamp
from hyperscale.workload.windows import MergedWindow, WindowMerger


class JobStatistics:
    """Merges the reports of a job's shards.

    A slot is an attempt at a shard: its totals are cumulative, so that a report which is lost or comes twice changes
    nothing, and each of its windows counts once.

    Parameters
    ----------
    tolerance_seconds
        How long after its end a window waits for shards that have not delivered it.
    """

    def __init__(self, job_id: str, datacenter: str, tolerance_seconds: float) -> None:
        self._job_id = job_id
        self._datacenter = datacenter
        self._totals: SlotTotals[tuple[str, int]] = SlotTotals()
        self._windows: WindowMerger[tuple[str, int]] = WindowMerger(tolerance_seconds)

    def add_totals(self, slot: tuple[str, int], sequence: int, totals: WorkflowStats) -> bool:
        """Take a slot's cumulative totals; False when they are old. Raises ValueError when they cannot be merged."""
        return self._totals.update(slot, sequence, [WorkflowStatistics.from_proto(totals)])

    def add_windows(self, slot: tuple[str, int], windows: Iterable[StatsWindow]) -> list[WorkflowStatistics]:
        """Merge closed seconds of a slot; returns what they held, late and repeated ones left out.

        Raises ValueError when one cannot be merged.
        """
        seconds = [(window.window_start.seconds, WorkflowStatistics.from_proto(window.stats)) for window in windows]
        return [statistics for second, statistics in seconds if self._windows.add(slot, second, [statistics])]

    def iterations_of(self, slot: tuple[str, int]) -> int:
        """Iterations that a slot has counted so far."""
        return self._totals.iterations_of(slot)

    def totals(self) -> list[WorkflowStats]:
        """Sum over all slots, per workflow."""
        return [statistics.to_proto() for statistics in self._totals.totals().values()]

    def close_windows(self, now_seconds: float) -> list[WindowedStatsPush]:
        """Seconds that are due at this wall-clock time, oldest first."""
        return [self._push(window) for window in self._windows.close_due(now_seconds)]

    def close_all_windows(self) -> list[WindowedStatsPush]:
        """Every second not closed yet, oldest first: nothing more will come."""
        return self.close_windows(math.inf)

    def _push(self, window: MergedWindow) -> WindowedStatsPush:
        return WindowedStatsPush(
            job_id=self._job_id,
            datacenter=self._datacenter,
            window_start=timestamp(window.window_start_seconds),
            statistics=[statistics.to_proto() for statistics in window.statistics.values()],
        )
