"""Seconds of a run, merged over many places for the live view, and closed once in order."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from hyperscale.workload.statistics import WorkflowStatistics, merge_into

WINDOW_SECONDS: Final = 1
"""Length of a window."""
MAX_OPEN_WINDOWS: Final = 120
"""Most seconds that wait to be closed."""

SlotT = TypeVar("SlotT", bound=Hashable)


@dataclass(frozen=True, slots=True)
class MergedWindow:
    """A closed second."""

    window_start_seconds: int
    """Seconds since the Unix epoch."""
    statistics: dict[str, WorkflowStatistics]
    """What was measured within it, by workflow name."""


@dataclass(slots=True)
class _OpenWindow(Generic[SlotT]):
    slots: set[SlotT] = field(default_factory=set)
    statistics: dict[str, WorkflowStatistics] = field(default_factory=dict)


class WindowMerger(Generic[SlotT]):
    """Merges the windows of many slots by second, each (slot, second) once.

    Windows close in the order of time. One that arrives after its second has closed is late: it is counted and left
    out, which changes the live view only, since totals travel by themselves.

    Parameters
    ----------
    tolerance_seconds
        How long after its end a window waits for the slots that have not delivered it.
    """

    def __init__(self, tolerance_seconds: float) -> None:
        self._tolerance_seconds = tolerance_seconds
        self._open: dict[int, _OpenWindow[SlotT]] = {}
        self._closed_through: int | None = None
        self._late_count = 0
        self._dropped_count = 0

    @property
    def late_count(self) -> int:
        """Windows that came after their second had been closed."""
        return self._late_count

    @property
    def dropped_count(self) -> int:
        """Seconds given up because `MAX_OPEN_WINDOWS` were waiting: those furthest in the future."""
        return self._dropped_count

    @property
    def open_count(self) -> int:
        """Seconds that wait to be closed."""
        return len(self._open)

    def add(self, slot: SlotT, window_start_seconds: int, statistics: Iterable[WorkflowStatistics]) -> bool:
        """Merge one slot's window, starting at a whole second since the epoch; the statistics stay the caller's.

        Returns
        -------
        bool
            False when the slot had delivered it before, it is late, or it is too far ahead of the others.
        """
        if self._closed_through is not None and window_start_seconds <= self._closed_through:
            self._late_count += 1
            return False
        window = self._open.setdefault(window_start_seconds, _OpenWindow())
        if slot in window.slots:
            return False
        window.slots.add(slot)
        merge_into(window.statistics, statistics)
        self._drop_excess()
        return window_start_seconds in self._open

    def close_due(self, now_seconds: float, expected: Collection[SlotT] = ()) -> list[MergedWindow]:
        """Close, oldest first, the windows whose time is up or that every expected slot has delivered.

        Parameters
        ----------
        now_seconds
            Wall clock, seconds since the Unix epoch. Infinity closes everything.
        expected
            Slots that make load now; empty: windows close by time only.
        """
        due: list[MergedWindow] = []
        for start in sorted(self._open):
            if not self._is_due(start, now_seconds, expected):
                break
            due.append(MergedWindow(start, self._open.pop(start).statistics))
            self._closed_through = start
        return due

    def _is_due(self, start: int, now_seconds: float, expected: Collection[SlotT]) -> bool:
        if now_seconds >= start + WINDOW_SECONDS + self._tolerance_seconds:
            return True
        return bool(expected) and self._open[start].slots.issuperset(expected)

    def _drop_excess(self) -> None:
        if len(self._open) > MAX_OPEN_WINDOWS:
            del self._open[max(self._open)]
            self._dropped_count += 1
