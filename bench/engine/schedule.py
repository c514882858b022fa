"""Delays that are known beforehand: what the target is to impose."""

from __future__ import annotations

import math

SHORTEST_SECONDS = 0.005
MEAN_ABOVE_SECONDS = 0.020
_TAIL = 0.999
_GOLDEN = 0.6180339887498949


def delay_seconds(number: int) -> float:
    """Delay of the request with this number, counted from 0: exponential above the shortest, cut at its 99.9 %.

    The numbers visit the distribution evenly, so that every stretch of requests has nearly the same percentiles.
    """
    return SHORTEST_SECONDS - MEAN_ABOVE_SECONDS * math.log(1.0 - (number + 0.5) * _GOLDEN % 1.0 * _TAIL)
