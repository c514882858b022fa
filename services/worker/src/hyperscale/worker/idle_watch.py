"""Whether engines that work for nobody are alive: they are asked, and one that does not answer for too long is given up."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

LOOK_SECONDS: Final = 1.0
_LONGEST_LOOK_SECONDS: Final = 2.0


class IdleWatch:
    """Remembers since when idle engines owe an answer; in monotonic seconds."""

    def __init__(self, stall_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        self._owing_since: dict[int, float] = {}
        self._looked_at: float | None = None

    def heard(self, slot: int) -> None:
        """The engine in a slot has said something, or is gone."""
        self._owing_since.pop(slot, None)

    def silent(self, idle: Collection[int], now: float) -> list[int]:
        """Those of the idle engines that owe an answer for too long; every one of them is to be asked now."""
        pause_seconds = 0.0 if self._looked_at is None else max(0.0, now - self._looked_at - _LONGEST_LOOK_SECONDS)
        self._looked_at = now
        # While this process stood still it heard nobody: what they said waits to be read.
        self._owing_since = {slot: self._owing_since.get(slot, now - pause_seconds) + pause_seconds for slot in idle}
        return [slot for slot, since in self._owing_since.items() if now - since >= self._stall_seconds]
