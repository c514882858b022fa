"""What a user asks before each iteration, and whom it tells when there is none."""

from __future__ import annotations

from typing import Protocol


class IterationStock:
    """Iterations that may start: a number of them, or as many as fit into the time it is open."""

    __slots__ = ("_is_open", "_remaining", "started")

    def __init__(self, iterations: int | None) -> None:
        """None: not limited by number."""
        self._remaining = iterations
        self._is_open = True
        self.started = 0

    def take(self) -> bool:
        """Whether one more iteration may start; it counts as started then."""
        if not self._is_open:
            return False
        if self._remaining is not None:
            if not self._remaining:
                return False
            self._remaining -= 1
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
