"""The engine watches itself: how late its timers are, and whether it is at its limit."""

from __future__ import annotations

import asyncio
from time import perf_counter, process_time
from typing import Final

from hyperscale.worker.engine.recorder import Recorder

_TICK_SECONDS: Final = 0.05
_JUDGEMENT_SECONDS: Final = 1.0
SATURATED_FROM_CPU_SHARE: Final = 0.95
SATURATED_FROM_LAG_SECONDS: Final = 0.1


class Vitals:
    """Records lag and saturation."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    async def watch(self) -> None:
        """Watch until cancelled; a judgement covers a second, or as many as the engine stood still."""
        while True:
            began, cpu = perf_counter(), process_time()
            longest_lag = 0.0
            while perf_counter() < began + _JUDGEMENT_SECONDS:
                longest_lag = max(longest_lag, await self._tick())
            seconds = perf_counter() - began
            cpu_share = (process_time() - cpu) / seconds
            self._recorder.watched(round(seconds), is_saturated=is_saturated(cpu_share, longest_lag))

    async def _tick(self) -> float:
        due = perf_counter() + _TICK_SECONDS
        await asyncio.sleep(_TICK_SECONDS)
        now = perf_counter()
        self._recorder.late(due, now)
        return now - due


def is_saturated(cpu_share: float, longest_lag_seconds: float) -> bool:
    """Whether an engine that used so much of its core, and was so late, measures itself as much as the target."""
    return cpu_share >= SATURATED_FROM_CPU_SHARE or longest_lag_seconds > SATURATED_FROM_LAG_SECONDS
