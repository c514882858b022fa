"""How long requests have taken lately, over all jobs of this datacenter."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from hyperscale.runtime.clock import Clock
from hyperscale.v1.progress_pb2 import RequestLatency
from hyperscale.workload.histogram import Histogram
from hyperscale.workload.metrics import CODE_PROTOCOL
from hyperscale.workload.statistics import StepStatistics, WorkflowStatistics
from hyperscale.workload.workflow_names import is_load

WINDOW_SECONDS: Final = 60
WINDOWS: Final = 5


class RequestLatencies:
    """Latencies of the last five minutes, forgotten minute by minute.

    Requests of setups and teardowns are no load and leave no trace here.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: deque[tuple[int, Histogram]] = deque(maxlen=WINDOWS)

    def add(self, statistics: Iterable[WorkflowStatistics]) -> None:
        """Add what was measured within a second or so, just now."""
        loads = (workflow for workflow in statistics if is_load(workflow.workflow_name))
        steps = chain.from_iterable(workflow.steps.values() for workflow in loads)
        durations = [duration for duration in chain.from_iterable(map(_durations, steps)) if duration.count]
        if not durations:
            return
        number = self._number()
        if not self._windows or self._windows[-1][0] != number:
            self._windows.append((number, Histogram()))
        for duration in durations:
            self._windows[-1][1].merge(duration)

    def summary(self) -> RequestLatency | None:
        """Percentiles over all windows; None when nothing was measured."""
        number, merged = self._number(), Histogram()
        while self._windows and self._windows[0][0] <= number - WINDOWS:
            self._windows.popleft()
        for _, window in self._windows:
            merged.merge(window)
        if not merged.count:
            return None
        p50_ms, p95_ms, p99_ms = (merged.percentile(percent) for percent in (50, 95, 99))
        return RequestLatency(count=merged.count, p50_ms=p50_ms, p95_ms=p95_ms, p99_ms=p99_ms)

    def _number(self) -> int:
        return int(self._clock.monotonic() // WINDOW_SECONDS)


def _durations(step: StepStatistics) -> Iterator[Histogram]:
    yield step.duration_ms
    yield from (calls.duration_ms for name, calls in step.protocols.items() if name != CODE_PROTOCOL)
