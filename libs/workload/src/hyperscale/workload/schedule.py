"""When iterations of an arrival rate are due, and when users of a ramp come and go. Exact: whole numbers of nanoseconds.

Everything is a closed form of the profile, which every engine has whole; an engine takes the items of its own part.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import isqrt

from hyperscale.workload.shares import LoadPart


@dataclass(frozen=True, slots=True)
class Line:
    """A value that changes evenly from one whole number to another."""

    start_value: int
    end_value: int
    duration_ns: int


def lines(start_value: int, stages: Sequence[tuple[int, int]]) -> tuple[Line, ...]:
    """The lines through stages of (duration in ns, value at the end)."""
    values = [start_value, *(target for _, target in stages)]
    return tuple(
        Line(start, end, duration) for (start, end), (duration, _) in zip(pairwise(values), stages, strict=True)
    )


class ArrivalSchedule:
    """When iterations start whose rate follows lines.

    The k-th, from 1, is due at the first nanosecond at which the integral of the rate has reached k; there are as many as
    the integral over everything has whole numbers.
    """

    def __init__(self, rates: Sequence[Line], time_unit_ns: int) -> None:
        """`rates` in iterations per time unit, which is at least 1 ns."""
        self._rates = tuple(rates)
        # Twice the area below the lines, in nanoseconds times rate: whole, where the area itself may have halves.
        self._areas = list(accumulate((_double_area(rate) for rate in self._rates), initial=0))
        self._starts_ns = list(accumulate((rate.duration_ns for rate in self._rates), initial=0))
        self._double_unit = 2 * time_unit_ns

    @property
    def count(self) -> int:
        """Iterations that are due in all."""
        return self._areas[-1] // self._double_unit

    def due_ns(self, item: int) -> int:
        """When the item, from 1 to `count`, is due: nanoseconds from the start."""
        wanted = item * self._double_unit
        stage = bisect_left(self._areas, wanted) - 1
        return self._starts_ns[stage] + _time_of_area(self._rates[stage], wanted - self._areas[stage])

    def due_in(self, part: LoadPart) -> Iterator[int]:
        """When the items of a part are due, in order: nanoseconds from the start."""
        return (self.due_ns(item) for item in part.items(self.count))


@dataclass(frozen=True, slots=True)
class RampChange:
    """A user comes or goes."""

    at_ns: int
    """Nanoseconds from the start."""
    user: int
    """From 1."""
    comes: bool


class RampSchedule:
    """Users whose number follows lines: user n is there from when the line reaches n until it falls to n - 1."""

    def __init__(self, users: Sequence[Line]) -> None:
        self._users = tuple(users)
        self._starts_ns = list(accumulate((line.duration_ns for line in self._users), initial=0))

    @property
    def most_users(self) -> int:
        """Users at the highest point."""
        return max(max(line.start_value, line.end_value) for line in self._users)

    def users_at(self, at_ns: int) -> int:
        """Users there at a time; after a change that falls on it."""
        stage = bisect_right(self._starts_ns, at_ns) - 1
        if stage >= len(self._users):
            return self._users[-1].end_value
        line = self._users[stage]
        moved = abs(line.end_value - line.start_value) * (at_ns - self._starts_ns[stage]) // line.duration_ns
        return line.start_value + (moved if line.end_value > line.start_value else -moved)

    def changes_in(self, part: LoadPart) -> Iterator[RampChange]:
        """Everything that users of a part do, in order of time; those there at the start come at 0."""
        ours = list(part.items(self.most_users))
        for user in ours[: bisect_right(ours, self._users[0].start_value)]:
            yield RampChange(0, user, comes=True)
        for line, start_ns in zip(self._users, self._starts_ns, strict=False):
            yield from _changes(line, start_ns, ours)


def _changes(line: Line, start_ns: int, ours: Sequence[int]) -> Iterator[RampChange]:
    low, high = sorted((line.start_value, line.end_value))
    moving = ours[bisect_right(ours, low) : bisect_right(ours, high)]
    comes = line.end_value > line.start_value
    for user in moving if comes else reversed(moving):
        moved = user - low if comes else high - user + 1
        yield RampChange(start_ns - (-moved * line.duration_ns // (high - low)), user, comes)


def _double_area(rate: Line) -> int:
    return (rate.start_value + rate.end_value) * rate.duration_ns


def _time_of_area(rate: Line, double_area: int) -> int:
    """First whole nanosecond at which twice the area below the line has reached a value above 0 that it does reach.

    With slope = end - start: slope t² + 2 start duration t = double_area · duration. Solved in the form that does not
    divide by a slope of 0, rounded, and put right by the condition itself.
    """
    slope, start, duration = rate.end_value - rate.start_value, rate.start_value, rate.duration_ns
    wanted = double_area * duration
    root = isqrt((start * duration) ** 2 + slope * wanted)
    time_ns = min(wanted // max(1, start * duration + root), duration)
    while _reached(slope, start, duration, time_ns) < wanted:
        time_ns += 1
    while time_ns and _reached(slope, start, duration, time_ns - 1) >= wanted:
        time_ns -= 1
    return time_ns


def _reached(slope: int, start: int, duration: int, time_ns: int) -> int:
    return (slope * time_ns + 2 * start * duration) * time_ns
