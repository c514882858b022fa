"""What a user asks before each iteration, and whom it tells when there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class IterationStock:
    """Iterations that may start: a number of them, or as many as fit into the time it is open."""

    __slots__ = ("_is_open", "_is_refilled", "_on_used_up", "_remaining", "started")

    def __init__(self, iterations: int | None, on_used_up: Callable[[], None] | None = None) -> None:
        """None: not limited by number. `on_used_up` is told when the last one was taken."""
        self._remaining = iterations
        self._on_used_up = on_used_up
        self._is_open = True
        self._is_refilled = False
        self.started = 0

    @classmethod
    def of_schedule(cls) -> IterationStock:
        """Nothing to take, but as long as it is open a schedule hands out iterations when they are due."""
        stock = cls(0)
        stock._is_refilled = True
        return stock

    @property
    def is_used_up(self) -> bool:
        """Whether it is of no use to wait for one more: none is left and none will come."""
        return not self._is_open or (self._remaining == 0 and not self._is_refilled)

    def take(self) -> bool:
        """Whether one more iteration may start; it counts as started then."""
        if not self._is_open:
            return False
        if self._remaining is not None:
            if not self._remaining:
                return False
            self._remaining -= 1
            if not self._remaining and self._on_used_up is not None:
                self._on_used_up()
        self.started += 1
        return True

    def put_back(self) -> None:
        """An iteration that was taken did not start after all: another user may have it."""
        self.started -= 1
        if self._remaining is not None:
            self._remaining += 1

    def close(self) -> None:
        """No iteration starts any more."""
        self._is_open = False

    def reopen(self) -> None:
        """Iterations start again, as far as there are any left."""
        self._is_open = True


class Seat(Protocol):
    """A user's place in its population."""

    def rested(self) -> None:
        """The user's iteration has ended and its stock has no other one: it waits to be told to begin one, or to end."""

    def ended(self) -> None:
        """The user has ended; told once."""
