"""Local health: a node that hears little from others doubts itself first (Lifeguard, Dadgar et al., DSN 2018, section IV-A)."""

from __future__ import annotations


class Awareness:
    """Score from 0, healthy, to the maximum less one. Intervals and timeouts are multiplied by score + 1."""

    def __init__(self, maximum: int) -> None:
        self._highest = maximum - 1
        self._score = 0

    @property
    def score(self) -> int:
        """How little this node can rely on its own view; 0 is healthy."""
        return self._score

    @property
    def multiplier(self) -> int:
        """Factor for probe intervals and timeouts."""
        return self._score + 1

    def probe_succeeded(self) -> None:
        """An answer arrived in time."""
        self._move(-1)

    def probe_failed(self, helpers: int, nacks: int) -> None:
        """No answer arrived. Helpers that also got none say so; those that stay silent speak against this node."""
        self._move(helpers - nacks if helpers else 1)

    def refuted(self) -> None:
        """Others found this node silent."""
        self._move(1)

    def _move(self, delta: int) -> None:
        self._score = min(self._highest, max(0, self._score + delta))
