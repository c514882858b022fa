"""Ending a shard before its time: gracefully, then by interruption, then by killing its engines."""

from __future__ import annotations

from hyperscale.worker.models.engines import StopStage
from hyperscale.worker.models.shards import StopLimits

_NEXT = {StopStage.GRACEFUL: StopStage.INTERRUPT, StopStage.INTERRUPT: StopStage.KILL}


class StopLadder:
    """The stages of one stop. It only ever becomes firmer and faster; times are monotonic seconds."""

    def __init__(self) -> None:
        self._limits = StopLimits(0.0, 0.0)
        self._stage: StopStage | None = None
        self._entered_at = 0.0

    @property
    def stage(self) -> StopStage | None:
        """The stage reached; None before anybody asked for a stop."""
        return self._stage

    def begin(self, stage: StopStage, limits: StopLimits, now: float) -> None:
        """Enter a stage, unless the stop is already that firm; the shorter limits count."""
        if self._stage is None:
            self._limits = limits
        self._limits = StopLimits(
            min(limits.graceful_seconds, self._limits.graceful_seconds),
            min(limits.interrupt_seconds, self._limits.interrupt_seconds),
        )
        if self._stage is None or self._stage.value < stage.value:
            self._enter(stage, now)

    def advance(self, now: float) -> None:
        """Enter the next stage when it is due."""
        if self._stage is not None and self._stage in _NEXT and now >= self._entered_at + self._patience(self._stage):
            self._enter(_NEXT[self._stage], now)

    def _enter(self, stage: StopStage, now: float) -> None:
        self._stage = stage
        self._entered_at = now

    def _patience(self, stage: StopStage) -> float:
        return self._limits.graceful_seconds if stage is StopStage.GRACEFUL else self._limits.interrupt_seconds
