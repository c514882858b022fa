"""What happened to a job, for those who watch it.

Laws: sequences rise by one; the newest events are kept, up to a number and a size; the result is the last event. Watchers read
from the one log by position, so that a slow one costs no memory: when the log has moved on without it, it gets a
snapshot and goes on from there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import TypeAlias

from hyperscale.gate.models.orders import EventBounds
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.errors import HyperscaleError
from hyperscale.v1 import gate_service_pb2, job_pb2
from hyperscale.workload.timestamps import timestamp

Snapshot: TypeAlias = Callable[[], job_pb2.GlobalJobStatus]

_WAKE_SECONDS = 30.0


class EventHistory:
    """The newest events. They are kept as they are sent: a message takes ten times the memory of its bytes."""

    def __init__(self, bounds: EventBounds) -> None:
        self._bounds = bounds
        self._events: deque[bytes] = deque()
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self._events)

    @property
    def size_bytes(self) -> int:
        """Of all events kept."""
        return self._size_bytes

    def append(self, event: gate_service_pb2.JobEvent) -> None:
        """Keep an event; the oldest make room."""
        encoded = event.SerializeToString()
        self._events.append(encoded)
        self._size_bytes += len(encoded)
        while len(self._events) > 1 and self._is_too_much:
            self._size_bytes -= len(self._events.popleft())

    def at(self, index: int) -> gate_service_pb2.JobEvent:
        """An event by its place among those kept; negative from the newest."""
        return gate_service_pb2.JobEvent.FromString(self._events[index])

    @property
    def _is_too_much(self) -> bool:
        return len(self._events) > self._bounds.count or self._size_bytes > self._bounds.size_bytes


class JobEventLog:
    """The newest events of one job."""

    def __init__(self, job_id: str, bounds: EventBounds, clock: Clock) -> None:
        self._job_id = job_id
        self._clock = clock
        self._events = EventHistory(bounds)
        self._last_sequence = 0
        self._has_result = False
        self._closed_by: HyperscaleError | None = None
        self._changed = asyncio.Event()

    @property
    def last_sequence(self) -> int:
        """Sequence of the newest event; 0 when there is none."""
        return self._last_sequence

    def append_status(self, push: gate_service_pb2.JobStatusPush) -> None:
        """Record a change of status."""
        self._append(gate_service_pb2.JobEvent(status=push))

    def append_window(self, window: gate_service_pb2.JobWindow) -> None:
        """Record a second of the run."""
        self._append(gate_service_pb2.JobEvent(window=window))

    def append_result(self, result: job_pb2.GlobalJobResult) -> None:
        """Record the end; nothing may follow."""
        self._append(gate_service_pb2.JobEvent(result=result))
        self._has_result = True

    def close(self, error: HyperscaleError) -> None:
        """End every watch, also later ones, with an error; a log that has its result is not affected."""
        self._closed_by = error
        self._wake()

    async def watch(self, after_sequence: int, snapshot: Snapshot) -> AsyncGenerator[gate_service_pb2.JobEvent, None]:
        """Events after a sequence, until the result; raises the error given to `close`."""
        position = after_sequence
        while True:
            event = self._next(position, snapshot)
            if event is None:
                await self._wait()
                continue
            yield event
            if event.HasField("result"):
                return
            position = event.sequence

    def _append(self, event: gate_service_pb2.JobEvent) -> None:
        self._last_sequence += 1
        event.job_id = self._job_id
        event.sequence = self._last_sequence
        event.at.CopyFrom(timestamp(self._clock.wall()))
        self._events.append(event)
        self._wake()

    def _next(self, position: int, snapshot: Snapshot) -> gate_service_pb2.JobEvent | None:
        """The event to send after a position; None when nothing has happened since."""
        if self._closed_by is not None and not self._has_result:
            raise self._closed_by
        if self._has_result and position >= self._last_sequence:
            return self._events.at(-1)
        if position == self._last_sequence:
            return None
        first = self._last_sequence - len(self._events) + 1
        if first - 1 <= position < self._last_sequence:
            return self._events.at(position + 1 - first)
        return self._snapshot_event(snapshot)

    def _snapshot_event(self, snapshot: Snapshot) -> gate_service_pb2.JobEvent:
        sequence = self._last_sequence - 1 if self._has_result else self._last_sequence
        return gate_service_pb2.JobEvent(
            job_id=self._job_id, sequence=sequence, at=timestamp(self._clock.wall()), snapshot=snapshot()
        )

    async def _wait(self) -> None:
        """Wait for a change, or long enough to look again."""
        try:
            async with asyncio.timeout(_WAKE_SECONDS):
                await self._changed.wait()
        except TimeoutError:
            return

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def stored_events(
    status: job_pb2.GlobalJobStatus, result_sequence: int, after_sequence: int
) -> tuple[gate_service_pb2.JobEvent, ...]:
    """What a watcher of an ended job gets when its log is gone: a snapshot unless it saw all but the result, the result.

    The result's sequence is at least one above what the watcher has seen.
    """
    sequence = max(result_sequence, after_sequence + 1)
    ended_at = status.result.finished_at
    result = gate_service_pb2.JobEvent(job_id=status.job_id, sequence=sequence, at=ended_at, result=status.result)
    if sequence == after_sequence + 1:
        return (result,)
    snapshot = gate_service_pb2.JobEvent(job_id=status.job_id, sequence=sequence - 1, at=ended_at, snapshot=status)
    return (snapshot, result)
