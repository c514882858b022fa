"""How long load was made, by many sources, on one clock: that of whoever takes their reports.

A report says for how long its source has made load. Taken at an instant of the receiver's monotonic clock, it puts the
source's first load no later than that instant minus that time. The earliest estimate of several counts, so that the error
is what the fastest report took to arrive; how the clocks of machines differ has no part in it.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

SourceT = TypeVar("SourceT", bound=Hashable)


@dataclass(slots=True)
class _Span:
    begun: float
    known_until: float
    is_over: bool

    def end(self, now_seconds: float) -> float:
        return self.known_until if self.is_over else max(self.known_until, now_seconds)


class LoadSpans(Generic[SourceT]):
    """Spans of load by source, in monotonic seconds."""

    def __init__(self) -> None:
        self._spans: dict[SourceT, _Span] = {}

    def heard(self, source: SourceT, elapsed_seconds: float, now_seconds: float, *, is_over: bool = False) -> None:
        """Note that a source has made load for so long: until now, or until its end when it is over."""
        begun = now_seconds - elapsed_seconds
        known = self._spans.get(source)
        if known is not None:
            begun = min(begun, known.begun)
        self._spans[source] = _Span(begun, begun + elapsed_seconds, is_over)

    def close(self, source: SourceT) -> None:
        """Note that nothing more is heard of a source: its load has ended with the last report."""
        span = self._spans.get(source)
        if span is not None:
            span.is_over = True

    def seconds(self, now_seconds: float = -math.inf) -> float:
        """From the first load of any source to the last known one, or to now while there is load; 0 when none was made."""
        return _length(self._spans.values(), now_seconds)

    def seconds_of(self, source: SourceT, now_seconds: float = -math.inf) -> float:
        """The same of one source."""
        span = self._spans.get(source)
        return 0.0 if span is None else _length([span], now_seconds)


def _length(spans: Iterable[_Span], now_seconds: float) -> float:
    known = list(spans)
    if not known:
        return 0.0
    return max(0.0, max(span.end(now_seconds) for span in known) - min(span.begun for span in known))
