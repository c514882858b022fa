"""Reports on their way to a peer, kept until the peer has acknowledged them.

Laws: sequences strictly increase in the order of `put`; nothing leaves the outbox but by acknowledgement, by a newer report
of the same key, by withdrawal, or, if declared droppable, by overflow, which is counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

ReportT = TypeVar("ReportT")


class Delivery(StrEnum):
    """What may happen to a report when the outbox is full."""

    REQUIRED = "required"
    """Kept beyond the capacity; the owner watches `Outbox.fill` and produces less."""
    DROPPABLE = "droppable"
    """The oldest droppable report makes room."""


@dataclass(frozen=True, slots=True)
class Outgoing(Generic[ReportT]):
    """A report and the sequence number under which the peer acknowledges it."""

    sequence: int
    report: ReportT


@dataclass(frozen=True, slots=True)
class _Pending(Generic[ReportT]):
    outgoing: Outgoing[ReportT]
    key: Hashable | None


class PendingReports(Generic[ReportT]):
    """The state of an outbox, without any waiting."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._last_sequence = 0
        self._sent: dict[int, _Pending[ReportT]] = {}
        self._unsent: dict[int, _Pending[ReportT]] = {}
        self._sequence_by_key: dict[Hashable, int] = {}
        self._droppable: dict[int, None] = {}
        self.dropped_count = 0

    def __len__(self) -> int:
        return len(self._sent) + len(self._unsent)

    @property
    def sent_count(self) -> int:
        """Reports sent and not yet acknowledged."""
        return len(self._sent)

    @property
    def fill(self) -> float:
        """Share of the capacity in use; above 1 when required reports exceed it."""
        return len(self) / self._capacity

    def put(self, report: ReportT, key: Hashable | None, delivery: Delivery) -> int:
        """Add a report, replacing the one of the same key; returns its sequence."""
        if key is not None and key in self._sequence_by_key:
            self._forget(self._sequence_by_key[key])
        while len(self) >= self._capacity and self._droppable:
            self._forget(next(iter(self._droppable)))
            self.dropped_count += 1
        self._last_sequence += 1
        sequence = self._last_sequence
        self._unsent[sequence] = _Pending(Outgoing(sequence, report), key)
        if key is not None:
            self._sequence_by_key[key] = sequence
        if delivery is Delivery.DROPPABLE:
            self._droppable[sequence] = None
        return sequence

    def take(self) -> Outgoing[ReportT] | None:
        """The next report to send, which counts as sent from now on."""
        sequence = next(iter(self._unsent), None)
        if sequence is None:
            return None
        pending = self._sent[sequence] = self._unsent.pop(sequence)
        return pending.outgoing

    def ack(self, sequence: int) -> None:
        """Forget every report up to and including a sequence."""
        for reports in (self._sent, self._unsent):
            while reports and (first := next(iter(reports))) <= sequence:
                self._forget(first)

    def withdraw(self, is_chosen: Callable[[ReportT], bool]) -> list[ReportT]:
        """Take unacknowledged reports back, sent or not; returns them, oldest first."""
        withdrawn = {
            sequence: pending.outgoing.report
            for sequence, pending in (*self._sent.items(), *self._unsent.items())
            if is_chosen(pending.outgoing.report)
        }
        for sequence in withdrawn:
            self._forget(sequence)
        return list(withdrawn.values())

    def rewind(self) -> None:
        """Treat everything unacknowledged as never sent."""
        self._unsent = {**self._sent, **self._unsent}
        self._sent = {}

    def _forget(self, sequence: int) -> None:
        pending = self._sent.pop(sequence, None) or self._unsent.pop(sequence)
        self._droppable.pop(sequence, None)
        if pending.key is not None:
            del self._sequence_by_key[pending.key]


class Outbox(Generic[ReportT]):
    """Reports waiting for acknowledgement on a stream that reconnects. One task sends, any may put.

    Parameters
    ----------
    capacity
        Reports kept before droppable ones make room.
    """

    def __init__(self, capacity: int) -> None:
        self._pending: PendingReports[ReportT] = PendingReports(capacity)
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def fill(self) -> float:
        """Share of the capacity in use; above 1 when required reports exceed it."""
        return self._pending.fill

    @property
    def dropped_count(self) -> int:
        """Droppable reports lost to overflow since the start."""
        return self._pending.dropped_count

    @property
    def sent_count(self) -> int:
        """Reports sent and not yet acknowledged."""
        return self._pending.sent_count

    def put(self, report: ReportT, key: Hashable | None = None, delivery: Delivery = Delivery.REQUIRED) -> int:
        """Add a report; returns its sequence.

        Parameters
        ----------
        key
            The report replaces the unacknowledged one of the same key (latest wins); None keeps every report.
        """
        sequence = self._pending.put(report, key, delivery)
        self._arrived.set()
        return sequence

    async def next(self) -> Outgoing[ReportT]:
        """Wait for the next report to send; safe to cancel."""
        while (outgoing := self._pending.take()) is None:
            self._arrived.clear()
            await self._arrived.wait()
        return outgoing

    def ack(self, sequence: int) -> None:
        """Forget every report up to and including a sequence."""
        self._pending.ack(sequence)

    def withdraw(self, is_chosen: Callable[[ReportT], bool]) -> list[ReportT]:
        """Take unacknowledged reports back, because they are for somebody else; returns them, oldest first."""
        return self._pending.withdraw(is_chosen)

    def rewind(self) -> None:
        """Send everything unacknowledged again; call it when a new stream begins."""
        self._pending.rewind()
        self._arrived.set()
