"""How long datacenters take to take jobs over, beside the way there.

Law: what every datacenter needs for it says nothing about any of them, and is left out: otherwise one that was never tried
would look nearer than one that was.
"""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import Final

_REMEMBERED: Final = 32
_USUAL_SPREAD: Final = 2.0
"""Up to so many times the median is as usual."""


class AcceptanceTimes:
    """What taking a job over usually costs, learnt from the latest jobs of all datacenters.

    Parameters
    ----------
    shortest_ms
        Shorter ways count as this long.
    """

    def __init__(self, shortest_ms: float) -> None:
        self._shortest_ms = shortest_ms
        self._costs_ms: deque[float] = deque(maxlen=_REMEMBERED)

    def latency_ms(self, took_ms: float, rtt_ms: float | None) -> float:
        """The latency that a datacenter showed: what it took beyond what that usually costs, and never less than the way there.

        Parameters
        ----------
        took_ms
            From handing a job out until it was taken over.
        rtt_ms
            Round trip to the datacenter as probes measure it; None when it is not known, and then nothing is learnt of costs.
        """
        if rtt_ms is not None:
            self._costs_ms.append(max(0.0, took_ms - rtt_ms))
        usual_ms = _USUAL_SPREAD * median(self._costs_ms) if self._costs_ms else 0.0
        return max(self._shortest_ms, rtt_ms or 0.0, took_ms - usual_ms)
