"""The process watches itself, in pauses that it makes anyway."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from structlog.typing import FilteringBoundLogger

from hyperscale.runtime.lifecycle import NodeLifecycle
from hyperscale.runtime.overload.detector import OverloadDetector, OverloadSignals
from hyperscale.runtime.overload.memory import MemoryGauge
from hyperscale.v1.node_pb2 import OverloadState

_MS_PER_SECOND: Final = 1000.0


class OverloadWatch:
    """Tells the node's lifecycle how far the node is overloaded."""

    def __init__(self, node: NodeLifecycle, memory: MemoryGauge, logger: FilteringBoundLogger) -> None:
        self._node = node
        self._memory = memory
        self._logger = logger
        self._detector = OverloadDetector()

    async def pause(self, seconds: float) -> None:
        """Sleep, and judge by it: by how late the loop woke us up, and how much of a core its thread has used meanwhile."""
        began_at, cpu_before = time.monotonic(), time.thread_time()
        await asyncio.sleep(seconds)
        now = time.monotonic()
        signals = OverloadSignals(
            latency_ms=max(0.0, now - began_at - seconds) * _MS_PER_SECOND,
            cpu=(time.thread_time() - cpu_before) / max(now - began_at, seconds),
            memory=self._memory.used_share(),
        )
        self.note(signals, now)

    def note(self, signals: OverloadSignals, now_seconds: float) -> None:
        """Judge by signals."""
        before, state = self._node.overload, self._detector.observe(signals, now_seconds)
        if state == before:
            return
        self._node.note_overload(state)
        tell = self._logger.warning if state > before else self._logger.info
        tell(
            "overload changed",
            before=OverloadState.Name(before),
            now=OverloadState.Name(state),
            latency_ms=round(signals.latency_ms, 1),
            cpu=round(signals.cpu, 2),
            memory=round(signals.memory, 2),
        )
