"""Totals that arrive again and again from many places, summed so that a lost or repeated report changes nothing."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from hyperscale.workload.statistics import WorkflowStatistics, merge_into

MAX_SLOTS: Final = 100_000
"""Most slots of one job: far above workers times shards of any job."""

SlotT = TypeVar("SlotT", bound=Hashable)


class TooManySlotsError(ValueError):
    """A new slot was refused because `MAX_SLOTS` are in use; the others are unchanged."""


@dataclass(frozen=True, slots=True)
class _SlotEntry:
    sequence: int
    statistics: tuple[WorkflowStatistics, ...]


class SlotTotals(Generic[SlotT]):
    """A G-counter: each slot keeps the newest cumulative totals of its only writer, and the total is the sum over slots.

    A slot names one writer's life, for example (shard, attempt): whoever starts to count at zero again needs a new slot.
    """

    def __init__(self) -> None:
        self._slots: dict[SlotT, _SlotEntry] = {}

    def __len__(self) -> int:
        return len(self._slots)

    def update(self, slot: SlotT, sequence: int, statistics: Sequence[WorkflowStatistics]) -> bool:
        """Replace what the slot has, if `sequence` is higher than the slot's last.

        The statistics are kept: the caller must not change them afterwards.

        Returns
        -------
        bool
            False when the report is a duplicate or older than what is known.
        """
        known = self._slots.get(slot)
        if known is not None and sequence <= known.sequence:
            return False
        if known is None and len(self._slots) >= MAX_SLOTS:
            raise TooManySlotsError(f"more than {MAX_SLOTS} slots")
        self._slots[slot] = _SlotEntry(sequence, tuple(statistics))
        return True

    def forget(self, slot: SlotT) -> None:
        """Take the slot's totals out of the sum; nothing happens when there are none."""
        self._slots.pop(slot, None)

    def iterations_of(self, slot: SlotT) -> int:
        """Iterations that one slot has counted."""
        entry = self._slots.get(slot)
        return sum(statistics.iterations for statistics in entry.statistics) if entry else 0

    def totals_of(self, slot: SlotT) -> dict[str, WorkflowStatistics]:
        """What one slot has, by workflow name; the caller's own."""
        entry = self._slots.get(slot)
        merged: dict[str, WorkflowStatistics] = {}
        merge_into(merged, entry.statistics if entry else ())
        return merged

    def totals(self) -> dict[str, WorkflowStatistics]:
        """Sum over all slots, by workflow name; the caller's own."""
        merged: dict[str, WorkflowStatistics] = {}
        for entry in self._slots.values():
            merge_into(merged, entry.statistics)
        return merged
