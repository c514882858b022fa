"""What the datacenters have measured of one job.

Laws: the newest totals of each datacenter count, once; totals of a final result are never replaced; windows feed the live
view only and never change totals.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence

from hyperscale.gate.stages import JobStageValue
from hyperscale.v1 import progress_pb2, statistics_pb2
from hyperscale.workload.slots import SlotTotals
from hyperscale.workload.statistics import WorkflowStatistics, merge_by_workflow, merge_into
from hyperscale.workload.windows import MergedWindow, WindowMerger

_FINAL_SEQUENCE = sys.maxsize


class GlobalStatistics:
    """Totals by datacenter and stage, and the seconds that are still open.

    Every method that takes messages raises ValueError for statistics that cannot be merged, and then changes nothing.
    """

    def __init__(self, datacenters: Sequence[str], window_tolerance_seconds: float) -> None:
        self._totals: dict[str, SlotTotals[JobStageValue]] = {name: SlotTotals() for name in datacenters}
        self._windows: WindowMerger[str] = WindowMerger(window_tolerance_seconds)

    def take_totals(
        self, datacenter: str, stage: JobStageValue, sequence: int, messages: Iterable[statistics_pb2.WorkflowStats]
    ) -> bool:
        """Take cumulative totals of a stage over; False when newer ones are known."""
        statistics = tuple(merge_by_workflow([messages]).values())
        return self._totals[datacenter].update(stage, sequence, statistics)

    def take_final_totals(
        self, datacenter: str, stage: JobStageValue, messages: Iterable[statistics_pb2.WorkflowStats]
    ) -> None:
        """Take the totals of a stage's final result over, which replace all others of it."""
        self.take_totals(datacenter, stage, _FINAL_SEQUENCE, messages)

    def take_window(self, push: progress_pb2.WindowedStatsPush) -> bool:
        """Take one second of one datacenter over; False when it is known already, or late."""
        statistics = merge_by_workflow([push.statistics]).values()
        return self._windows.add(push.datacenter, push.window_start.seconds, statistics)

    def close_windows(self, now_seconds: float, expected: Collection[str]) -> list[MergedWindow]:
        """The seconds that every expected datacenter has reported, or that have waited long enough, oldest first."""
        return self._windows.close_due(now_seconds, expected)

    def move(self, datacenter: str, successor: str) -> None:
        """Another datacenter takes the place of one that has measured nothing."""
        self._totals = {
            successor if name == datacenter else name: SlotTotals() if name == datacenter else totals
            for name, totals in self._totals.items()
        }

    @property
    def datacenters(self) -> Sequence[str]:
        """Names of the datacenters."""
        return tuple(self._totals)

    def of(self, datacenter: str) -> dict[str, WorkflowStatistics]:
        """Totals of one datacenter, by workflow."""
        return self._totals[datacenter].totals()

    def of_stage(self, datacenter: str, stage: JobStageValue) -> dict[str, WorkflowStatistics]:
        """Totals of a stage in one datacenter, by workflow."""
        return self._totals[datacenter].totals_of(stage)

    def over_all(self) -> dict[str, WorkflowStatistics]:
        """Totals over all datacenters, by workflow."""
        merged: dict[str, WorkflowStatistics] = {}
        for totals in self._totals.values():
            merge_into(merged, totals.totals().values())
        return merged
