"""Admission of iterations: how many may still start."""

from __future__ import annotations


class IterationStock:
    """Iterations that may start: a common stock, or as many as fit into the time."""

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

    def close(self) -> None:
        """No iteration starts any more."""
        self._is_open = False
