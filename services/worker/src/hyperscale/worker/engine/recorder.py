"""What the requests of one run amounted to: samples are appended as they come, and folded into windows by numpy.

Every sample belongs to the wall-clock second in which it was completed. The totals are the sum of the windows, always.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from time import perf_counter, time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.worker.engine.models.http import Answer, ConnectPhases
from hyperscale.worker.engine.models.plan import EncodedStep, Plan
from hyperscale.workload.histogram import Histogram
from hyperscale.workload.statistics import HttpPhases, StepStatistics, WorkflowStatistics

_MS_PER_SECOND: Final = 1000.0
_VALUES_PER_SAMPLE: Final = 3
_VALUES_PER_ANSWER: Final = 6
_ANSWER_ENDED: Final = 3
_VALUES_PER_CONNECT: Final = 4
_NOT_MEASURED: Final = -1.0
_MAX_KEPT_WINDOWS: Final = 60
"""Ended windows kept while the control process takes none; older ones are dropped from the live view, never from totals."""


class WallClock:
    """Readings of `time.perf_counter` as wall-clock time, anchored once: a clock step during a run moves no window."""

    __slots__ = ("_offset_seconds",)

    def __init__(self) -> None:
        self._offset_seconds = time() - perf_counter()

    def at(self, reading: float) -> float:
        """Seconds since the epoch."""
        return reading + self._offset_seconds

    def now(self) -> float:
        """Seconds since the epoch."""
        return perf_counter() + self._offset_seconds


@dataclass(slots=True)
class UserGauge:
    """Users of one engine."""

    running: int = 0
    most: int = 0
    """Most that ran at once."""

    def started(self) -> None:
        """One more runs."""
        self.running += 1
        self.most = max(self.most, self.running)

    def ended(self) -> None:
        """One fewer runs."""
        self.running -= 1


class Samples:
    """Started and ended times and a size per sample, in the order in which they ended."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: list[float] = []

    def add(self, started: float, ended: float, size: int) -> None:
        """Keep one sample until the next fold. Called per request: three appends to a list are the cheapest that Python has
        (an array, which converts each value, costs twice as much even with the fold counted in).
        """
        values = self._values
        values.append(started)
        values.append(ended)
        values.append(size)

    def take(self, clock: WallClock) -> Sequence[tuple[int, NDArray[np.float64], int]]:
        """Samples so far by second: (second, durations in ms, sum of sizes); they are forgotten here."""
        if not self._values:
            return []
        started, ended, sizes = np.array(self._values, dtype=np.float64).reshape(-1, _VALUES_PER_SAMPLE).T
        self._values = []
        seconds = np.floor(ended + clock.at(0.0)).astype(np.int64)
        durations_ms = np.maximum(ended - started, 0.0) * _MS_PER_SECOND
        starts = [0, *(np.flatnonzero(np.diff(seconds)) + 1).tolist(), ended.size]
        return [
            (int(seconds[start]), durations_ms[start:end], int(sizes[start:end].sum()))
            for start, end in pairwise(starts)
        ]


class HttpSamples:
    """What is kept of the requests of one step besides `Samples`, where there is more to say than when it began and ended."""

    __slots__ = ("_answers", "_connects", "is_tls", "opened")

    def __init__(self, *, is_tls: bool) -> None:
        self.is_tls = is_tls
        self.opened = 0
        """Requests that waited for a connection and have not ended since."""
        self._answers: list[float] = []
        self._connects: list[float] = []

    def add_answer(self, answer: Answer) -> None:
        """Keep a whole response."""
        sizes = answer.sent_bytes, answer.received_bytes
        self.add(answer.started, answer.sent, answer.first_byte, answer.ended, *sizes)

    def add(self, *row: float) -> None:
        """Keep a response: started, sent, first byte, ended, bytes sent, bytes received."""
        self._answers += row

    def add_connect(self, now: float, phases: ConnectPhases) -> None:
        """Keep how long a request waited for its connection."""
        tls_seconds = _NOT_MEASURED if phases.tls_seconds is None else phases.tls_seconds
        self._connects += (now, phases.blocked_seconds, phases.connecting_seconds, tls_seconds)
        self.opened += 1
        self.is_tls = self.is_tls or phases.tls_seconds is not None

    def take_answers(self, clock: WallClock) -> Sequence[tuple[int, NDArray[np.float64]]]:
        """Responses so far by second; they are forgotten here."""
        rows, self._answers = self._answers, []
        return _by_second(rows, _VALUES_PER_ANSWER, _ANSWER_ENDED, clock)

    def take_connects(self, clock: WallClock) -> Sequence[tuple[int, NDArray[np.float64]]]:
        """Waits so far by second; they are forgotten here."""
        rows, self._connects = self._connects, []
        return _by_second(rows, _VALUES_PER_CONNECT, 0, clock)

    def reused(self, requests: int) -> int:
        """Of requests that have ended, how many had found their connection open."""
        opened = min(self.opened, requests)
        self.opened -= opened
        return requests - opened


def _by_second(
    values: list[float], width: int, clock_column: int, clock: WallClock
) -> Sequence[tuple[int, NDArray[np.float64]]]:
    """Columns of rows, grouped by the second that one of them falls into."""
    if not values:
        return []
    rows = np.array(values, dtype=np.float64).reshape(-1, width)
    seconds = np.floor(rows[:, clock_column] + clock.at(0.0)).astype(np.int64)
    starts = [0, *(np.flatnonzero(np.diff(seconds)) + 1).tolist(), len(rows)]
    return [(int(seconds[start]), rows[start:end].T) for start, end in pairwise(starts)]


class Recorder:
    """The one owner of a run's numbers."""

    def __init__(self, plan: Plan, clock: WallClock) -> None:
        self.samples = tuple(Samples() for _ in plan.steps)
        """Whole responses per step of which nothing else matters: started, ended, bytes received."""
        self._http = tuple(HttpSamples(is_tls=plan.origins[step.origin_index].tls) for step in plan.steps) or tuple(
            HttpSamples(is_tls=False) for _ in plan.client_steps
        )
        self.iterations = Samples()
        """Iterations that ran to their end; the size is not used."""
        self._steps: tuple[EncodedStep, ...] = plan.steps
        self._step_names = tuple(step.name for step in plan.steps) or plan.client_steps
        self._clock = clock
        self._workflow_name = plan.workflow_name
        self._ended = self._empty()
        self._open: dict[int, WorkflowStatistics] = {}
        self._windows: deque[pb.StatsWindow] = deque(maxlen=_MAX_KEPT_WINDOWS)
        self._lags = Samples()
        self._measures: list[Callable[[WorkflowStatistics, float], None]] = []
        self._is_warming_up = plan.warm_up_seconds > 0

    def answered(self, step: EncodedStep, answer: Answer) -> None:
        """Count a whole response of which more is known."""
        self._http[step.index].add_answer(answer)

    def answered_promptly(self, step: EncodedStep, started: float, ended: float, received_bytes: int) -> None:
        """Count a whole response that came in one piece, to a request that is not the same each time."""
        self._http[step.index].add(started, started, ended, ended, len(step.payload), received_bytes)

    def measure_with(self, measure: Callable[[WorkflowStatistics, float], None]) -> None:
        """At each fold, call this with the window and the time of now: it adds what it has measured."""
        self._measures.append(measure)

    def connected(self, step: EncodedStep, phases: ConnectPhases) -> None:
        """Note how long the next request of a step has waited for its connection, also when it got none."""
        self._http[step.index].add_connect(perf_counter(), phases)

    def unexpected_status(self, step: EncodedStep, ended: float) -> None:
        """Count a whole response, recorded as a sample too, as a failure."""
        self.rejected(step, pb.ERROR_CLASS_STATUS, ended)

    def rejected(self, step: EncodedStep, error_class: pb.ErrorClass.ValueType, ended: float) -> None:
        """Count a whole response, recorded as a sample too, as a failure of a class."""
        second = int(self._clock.at(ended) // 1)
        self._window(second).step(step.name).failures[error_class] += 1

    def failure(
        self, step: EncodedStep, error_class: pb.ErrorClass.ValueType, sent_bytes: int, received_bytes: int
    ) -> None:
        """Count a request that got no whole response, now."""
        statistics = self._window(int(self._clock.now() // 1)).step(step.name)
        statistics.total_count += 1
        statistics.failures[error_class] += 1
        statistics.bytes_sent += sent_bytes
        statistics.bytes_received += received_bytes
        self._count_reused(statistics.phases, self._http[step.index], 1)

    def step_now(self, step_name: str) -> StepStatistics:
        """The statistics of a step in the second that is under way; not to be kept."""
        return self._window(int(self._clock.now() // 1)).step(step_name)

    def note_error(self, step_name: str, text: str) -> None:
        """Keep what went wrong in code."""
        self._window(int(self._clock.now() // 1)).error_samples.note(step_name, text)

    def unreachable(self, address: str, error_class: pb.ErrorClass.ValueType) -> None:
        """Keep to where a request, counted as a failure too, found no connection."""
        self._window(int(self._clock.now() // 1)).unreachable.note(address, error_class)

    def late(self, due: float, now: float) -> None:
        """Something that was due at `due` happened at `now`."""
        self._lags.add(due, now, 0)

    def begun(self, lag_seconds: float) -> None:
        """Note how long after the agreed instant the load has begun."""
        lag_ms = max(0.0, lag_seconds) * _MS_PER_SECOND
        self._window(int(self._clock.now() // 1)).generator.start_lag_ms.record(lag_ms)

    def dropped_iteration(self) -> None:
        """Count an iteration that was due while all users were busy."""
        self._window(int(self._clock.now() // 1)).generator.dropped_iterations += 1

    def watched(self, seconds: int, *, is_saturated: bool) -> None:
        """Count seconds of the engine."""
        generator = self._window(int(self._clock.now() // 1)).generator
        generator.seconds += seconds
        generator.saturated_seconds += seconds if is_saturated else 0

    def end_warm_up(self) -> None:
        """Forget all that was measured, except how many requests there were."""
        self.fold()
        self._is_warming_up = False
        self._ended = self._warm_up()
        self._open.clear()

    def fold(self) -> None:
        """Move the samples into their windows; cheap when done a few times a second."""
        for measure in self._measures:
            measure(self._window(int(self._clock.now() // 1)), self._clock.now())
        # Steps that clients run have no samples of which nothing but the time matters.
        for step, samples, http in zip(self._steps, self.samples, self._http, strict=False):
            for second, durations_ms, received_bytes in samples.take(self._clock):
                statistics = self._window(second).step(step.name)
                statistics.total_count += durations_ms.size
                statistics.bytes_sent += durations_ms.size * len(step.payload)
                statistics.bytes_received += received_bytes
                self._fold_prompt(statistics, durations_ms, http)
        for name, http in zip(self._step_names, self._http, strict=True):
            self._fold_http(name, http)
        for second, durations_ms, _ in self.iterations.take(self._clock):
            window = self._window(second)
            window.iterations += durations_ms.size
            window.iteration_duration_ms.record_many(durations_ms)
        for second, lags_ms, _ in self._lags.take(self._clock):
            self._window(second).generator.lag_ms.record_many(lags_ms)

    def _fold_prompt(self, statistics: StepStatistics, durations_ms: NDArray[np.float64], http: HttpSamples) -> None:
        """Responses in one piece to requests that were written at once: all of their time was waiting."""
        durations = Histogram()
        durations.record_many(durations_ms)
        statistics.duration_ms.merge(durations)
        statistics.phases.waiting_ms.merge(durations)
        statistics.phases.sending_ms.record_zeros(durations_ms.size)
        statistics.phases.receiving_ms.record_zeros(durations_ms.size)
        self._count_reused(statistics.phases, http, durations_ms.size)

    def _fold_http(self, step_name: str, http: HttpSamples) -> None:
        for second, (_, blocked, connecting, tls) in http.take_connects(self._clock):
            phases = self._window(second).step(step_name).phases
            phases.blocked_ms.record_many(_ms(blocked))
            phases.connecting_ms.record_many(_ms(connecting))
            phases.tls_handshaking_ms.record_many(_ms(tls[tls > _NOT_MEASURED]))
        for second, (started, sent, first_byte, ended, sent_bytes, received_bytes) in http.take_answers(self._clock):
            statistics = self._window(second).step(step_name)
            statistics.total_count += started.size
            statistics.bytes_sent += int(sent_bytes.sum())
            statistics.bytes_received += int(received_bytes.sum())
            statistics.duration_ms.record_many(_ms(ended - started))
            statistics.phases.sending_ms.record_many(_ms(sent - started))
            statistics.phases.waiting_ms.record_many(_ms(first_byte - sent))
            statistics.phases.receiving_ms.record_many(_ms(ended - first_byte))
            self._count_reused(statistics.phases, http, started.size)

    def _count_reused(self, phases: HttpPhases, http: HttpSamples, requests: int) -> None:
        """Requests that found their connection open waited for nothing."""
        reused = http.reused(requests)
        phases.blocked_ms.record_zeros(reused)
        phases.connecting_ms.record_zeros(reused)
        if http.is_tls:
            phases.tls_handshaking_ms.record_zeros(reused)

    def close_windows(self, users: UserGauge, *, before_second: int | None = None) -> None:
        """End the windows of the seconds before this one; None: all of them, since nothing will come any more."""
        due = sorted(second for second in self._open if before_second is None or second < before_second)
        for second in due:
            window = self._open.pop(second)
            self._ended.merge(window)
            if self._is_warming_up:
                continue
            message = pb.StatsWindow(stats=_with_users(window, users))
            message.window_start.FromSeconds(second)
            self._windows.append(message)

    def take_windows(self) -> list[pb.StatsWindow]:
        """Windows that have ended and were not taken yet, oldest first."""
        windows = list(self._windows)
        self._windows.clear()
        return windows

    def totals(self, users: UserGauge) -> pb.WorkflowStats:
        """Sum of all windows, ended or not."""
        return _with_users(self._warm_up() if self._is_warming_up else self._sum(), users)

    def _sum(self) -> WorkflowStatistics:
        totals = self._ended.copy()
        for window in self._open.values():
            totals.merge(window)
        return totals

    def _warm_up(self) -> WorkflowStatistics:
        """Nothing but the number of requests so far."""
        measured = self._sum()
        statistics = self._empty()
        statistics.generator.warm_up_requests = sum(
            step.total_count + sum(protocol.total_count for protocol in step.protocols.values())
            for step in measured.steps.values()
        )
        return statistics

    def _window(self, second: int) -> WorkflowStatistics:
        return self._open.get(second) or self._open.setdefault(second, self._empty())

    def _empty(self) -> WorkflowStatistics:
        """Without values, but with every step, in the order of the workflow."""
        statistics = WorkflowStatistics(self._workflow_name)
        for name in self._step_names:
            statistics.step(name)
        return statistics


def _ms(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Durations; readings of one clock, which rounding may put out of order."""
    return np.maximum(seconds, 0.0) * _MS_PER_SECOND


def _with_users(statistics: WorkflowStatistics, users: UserGauge) -> pb.WorkflowStats:
    message = statistics.to_proto()
    message.vus = users.running
    message.vus_max = users.most
    return message
