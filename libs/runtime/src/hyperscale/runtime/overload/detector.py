"""What a node's signals say of it: HEALTHY, BUSY, STRESSED or OVERLOADED, by the worst of them.

Laws: a worse state holds at once; a better one only after nothing has been as bad for some seconds. Pure: who observes also says
what time it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from hyperscale.v1.node_pb2 import (
    OVERLOAD_STATE_BUSY,
    OVERLOAD_STATE_HEALTHY,
    OVERLOAD_STATE_OVERLOADED,
    OVERLOAD_STATE_STRESSED,
    OverloadState,
)

WINDOW_SAMPLES: Final = 10
"""Latency and CPU are the median of so many, so that a single pause of the process is no overload."""
SAMPLES_MIN: Final = 3
"""Fewer say nothing."""
CALM_SECONDS: Final = 5.0
LATENCY_FLOOR_MS: Final = 200.0
"""What is less late than this has not grown, whatever it was before: twice a millisecond is nothing to worry about."""
GROWTH_WINDOWS: Final = 3
"""Latency grows while each of so many windows in a row is later than the one before: two that differ may be noise, or one hiccup."""
_BASELINE_ALPHA: Final = 0.02
_RISING: Final = 1.1


@dataclass(frozen=True, slots=True)
class OverloadSignals:
    """One observation of a node.

    Attributes
    ----------
    latency_ms
        How long what is due has waited.
    cpu
        Share of the one core that the node can use for what it decides, from 0 to 1.
    memory
        Share of the memory that it may use which is in use, from 0 to 1.
    """

    latency_ms: float
    cpu: float
    memory: float


@dataclass(frozen=True, slots=True)
class OverloadBounds:
    """From which value on a signal means what."""

    busy: float
    stressed: float
    overloaded: float

    def state(self, value: float) -> OverloadState.ValueType:
        """The worst state whose bound is reached."""
        if value >= self.overloaded:
            return OVERLOAD_STATE_OVERLOADED
        if value >= self.stressed:
            return OVERLOAD_STATE_STRESSED
        return OVERLOAD_STATE_BUSY if value >= self.busy else OVERLOAD_STATE_HEALTHY


LATENCY_MS: Final = OverloadBounds(200, 500, 2000)
LATENCY_GROWTH: Final = OverloadBounds(0.2, 0.5, 1.0)
"""Beyond what is usual, as a share of it."""
USED_SHARE: Final = OverloadBounds(0.70, 0.85, 0.95)


class OverloadDetector:
    """Observes one node, about once a second."""

    def __init__(self) -> None:
        self._state: OverloadState.ValueType = OVERLOAD_STATE_HEALTHY
        self._latencies_ms: deque[float] = deque(maxlen=GROWTH_WINDOWS * WINDOW_SAMPLES)
        self._cpu: deque[float] = deque(maxlen=WINDOW_SAMPLES)
        self._samples = 0
        self._baseline_ms = 0.0
        self._calm_since: float | None = None
        self._worst_of_calm: OverloadState.ValueType = OVERLOAD_STATE_HEALTHY

    def observe(self, signals: OverloadSignals, now_seconds: float) -> OverloadState.ValueType:
        """Take the signals of now in; returns the state that follows."""
        self._samples += 1
        self._cpu.append(signals.cpu)
        self._latencies_ms.append(signals.latency_ms)
        # The plain mean at first: the very first sample would otherwise count as usual for minutes.
        alpha = max(_BASELINE_ALPHA, 1 / self._samples)
        self._baseline_ms += alpha * (signals.latency_ms - self._baseline_ms)
        self._follow(self._worst(signals), now_seconds)
        return self._state

    def _follow(self, state: OverloadState.ValueType, now_seconds: float) -> None:
        if state >= self._state:
            self._state, self._calm_since = state, None
            return
        if self._calm_since is None:
            self._calm_since, self._worst_of_calm = now_seconds, state
        self._worst_of_calm = max(self._worst_of_calm, state)
        if now_seconds - self._calm_since >= CALM_SECONDS:
            self._state, self._calm_since = self._worst_of_calm, None

    def _worst(self, signals: OverloadSignals) -> OverloadState.ValueType:
        if self._samples < SAMPLES_MIN:
            return OVERLOAD_STATE_HEALTHY
        return max(self._latency(), USED_SHARE.state(_median(self._cpu)), USED_SHARE.state(signals.memory))

    def _latency(self) -> OverloadState.ValueType:
        """By absolute bounds; and beside what is usual while it grows, since a node that gets later and later falls behind."""
        latencies_ms = list(self._latencies_ms)
        current_ms = _median(latencies_ms[-WINDOW_SAMPLES:])
        state = LATENCY_MS.state(current_ms)
        if not _grows(latencies_ms):
            return state
        growth = current_ms / max(self._baseline_ms, LATENCY_FLOOR_MS) - 1
        return max(state, LATENCY_GROWTH.state(growth))


def _grows(latencies_ms: Sequence[float]) -> bool:
    if len(latencies_ms) < GROWTH_WINDOWS * WINDOW_SAMPLES:
        return False
    starts = range(0, len(latencies_ms), WINDOW_SAMPLES)
    medians_ms = [_median(latencies_ms[start : start + WINDOW_SAMPLES]) for start in starts]
    return all(later >= _RISING * max(earlier, LATENCY_FLOOR_MS) for earlier, later in pairwise(medians_ms))


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
