"""How long a suspect may refute: long while only one node accuses it, short once others agree (Lifeguard, section IV-B)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


def suspicion_min_seconds(multiplier: float, members: int, probe_interval_seconds: float) -> float:
    """Least time to refute, α · max(1, log10 n) · interval: news needs about log n rounds to reach everybody."""
    return multiplier * max(1.0, math.log10(max(members, 1))) * probe_interval_seconds


def expected_confirmations(multiplier: float, accusers: int) -> int:
    """Independent accusations after which a suspicion is as short as it gets.

    Parameters
    ----------
    accusers
        Members that could accuse the suspect, this node included. With too few to ever reach the number, none is expected.
    """
    expected = max(0, int(multiplier) - 2)
    return expected if accusers - 1 >= expected else 0


def suspicion_seconds(confirmations: int, expected: int, minimum: float, maximum: float) -> float:
    """Whole time from the first accusation on: `max(min, max − (max − min) · ln(c + 1) / ln(k + 1))`; `min` when k is 0."""
    if expected < 1:
        return minimum
    share = math.log(confirmations + 1) / math.log(expected + 1)
    return max(minimum, maximum - (maximum - minimum) * share)


@dataclass(slots=True)
class Suspicion:
    """One suspicion under way. Only ever shortened."""

    started: float
    minimum_seconds: float
    maximum_seconds: float
    expected: int
    accusers: set[str] = field(default_factory=set)
    """The first, and those that confirmed; no more than make a difference."""
    patience: float = 1.0
    """Factor by which it takes longer: the suspect is far away or busy, or the node that waits is unwell itself."""

    def confirm(self, accuser_id: str) -> bool:
        """Count an accusation; false when it makes no difference."""
        if accuser_id in self.accusers or len(self.accusers) > self.expected:
            return False
        self.accusers.add(accuser_id)
        return True

    def reconsider(self, patience: float) -> None:
        """Wait less long if there is less reason for patience now; never longer."""
        self.patience = min(self.patience, patience)

    @property
    def deadline(self) -> float:
        """When the suspect is declared dead."""
        return self.started + self._seconds * self.patience

    def next_look(self, now: float, interval_seconds: float) -> float:
        """When to reconsider: at the deadline without patience, from then on after each interval."""
        return max(self.started + self._seconds, min(self.deadline, now + interval_seconds))

    @property
    def _seconds(self) -> float:
        confirmations = max(0, len(self.accusers) - 1)
        return suspicion_seconds(confirmations, self.expected, self.minimum_seconds, self.maximum_seconds)
