"""A hierarchical timing wheel: thousands of timers that are set, moved and cancelled in constant time.

Varghese and Lauck, "Hashed and hierarchical timing wheels", SOSP 1987. Four levels of 64 slots; a timer moves one level down
when its slot's turn comes, and fires never early and at most one tick late.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Generic, TypeVar

TICKS_PER_SECOND = 128
"""A power of two: ticks are exact as floats, so that a deadline handed out is due when the clock shows it."""
_LEVELS = 4
_BITS = 6
_SLOTS = 1 << _BITS
_MASK = _SLOTS - 1
_ALL = (1 << _SLOTS) - 1
_EXACT_UP_TO = 8

KeyT = TypeVar("KeyT", bound=Hashable)


class TimingWheel(Generic[KeyT]):
    """Timers by key; setting a key anew replaces its timer."""

    def __init__(self, now: float) -> None:
        self._current = math.floor(now * TICKS_PER_SECOND)
        self._slots: list[list[dict[KeyT, int]]] = [[{} for _ in range(_SLOTS)] for _ in range(_LEVELS)]
        self._occupied = [0] * _LEVELS
        self._places: dict[KeyT, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: KeyT) -> bool:
        return key in self._places

    def schedule(self, key: KeyT, deadline: float) -> None:
        """Let `key` fire at the first tick at or after the deadline, in seconds; at the next tick if that is past."""
        self.cancel(key)
        self._place(key, max(math.ceil(deadline * TICKS_PER_SECOND), self._current + 1))

    def cancel(self, key: KeyT) -> None:
        """Take the timer out; nothing happens when there is none."""
        place = self._places.pop(key, None)
        if place is None:
            return
        level, index = place
        slot = self._slots[level][index]
        del slot[key]
        if not slot:
            self._occupied[level] &= ~(1 << index)

    def next_deadline(self) -> float | None:
        """Return when `expire` is to be called next, in seconds.

        Never later than the first timer; earlier only when many timers lie so far ahead that looking for the first is not worth it.
        """
        ticks = [tick for level in range(_LEVELS) if (tick := self._first_tick(level)) is not None]
        return min(ticks) / TICKS_PER_SECOND if ticks else None

    def expire(self, now: float) -> list[KeyT]:
        """Return the keys whose time has come, the earliest first, and take them out."""
        target = math.floor(now * TICKS_PER_SECOND)
        fired: list[KeyT] = []
        while (turn := self._next_turn()) is not None and turn <= target:
            self._current = turn
            for level in range(_LEVELS - 1, 0, -1):
                if turn & ((1 << _BITS * level) - 1) == 0:
                    self._cascade(level, (turn >> _BITS * level) & _MASK)
            fired += self._take(0, turn & _MASK)
        self._current = max(self._current, target)
        return fired

    def _place(self, key: KeyT, tick: int) -> None:
        distance = tick - self._current
        level = 0
        while level < _LEVELS - 1 and distance >= 1 << _BITS * (level + 1):
            level += 1
        turn = tick >> _BITS * level
        index = min(turn, (self._current >> _BITS * level) + _MASK) & _MASK if level == _LEVELS - 1 else turn & _MASK
        self._slots[level][index][key] = tick
        self._occupied[level] |= 1 << index
        self._places[key] = (level, index)

    def _turns_until(self, level: int) -> int | None:
        """How many slots of the level lie between now and its next occupied one; a whole round at most."""
        occupied = self._occupied[level]
        if not occupied:
            return None
        start = ((self._current >> _BITS * level) + 1) & _MASK
        rotated = ((occupied >> start) | (occupied << (_SLOTS - start))) & _ALL
        return (rotated & -rotated).bit_length()

    def _next_turn(self) -> int | None:
        turns = [
            ((self._current >> _BITS * level) + distance) << _BITS * level
            for level in range(_LEVELS)
            if (distance := self._turns_until(level)) is not None
        ]
        return min(turns) if turns else None

    def _first_tick(self, level: int) -> int | None:
        distance = self._turns_until(level)
        if distance is None:
            return None
        turn = (self._current >> _BITS * level) + distance
        slot = self._slots[level][turn & _MASK]
        return min(slot.values()) if len(slot) <= _EXACT_UP_TO else turn << _BITS * level

    def _cascade(self, level: int, index: int) -> None:
        slot = self._slots[level][index]
        if not slot:
            return
        self._slots[level][index] = {}
        self._occupied[level] &= ~(1 << index)
        for key, tick in slot.items():
            self._place(key, tick)

    def _take(self, level: int, index: int) -> list[KeyT]:
        slot = self._slots[level][index]
        if not slot:
            return []
        self._slots[level][index] = {}
        self._occupied[level] &= ~(1 << index)
        for key in slot:
            del self._places[key]
        return list(slot)
