"""Parts of a whole: divided with whole numbers, so that every item has exactly one home in any division, however nested."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

from hyperscale.v1 import workflow_pb2

WHOLE_SIZE: Final = 2**62
_GOLDEN: Final = 0x9E3779B97F4A7C15
"""The golden ratio's fraction in 64 bits: no other multiplier spreads its multiples more evenly."""
_CIRCLE: Final = 2**64
_POINTS_PER_UNIT: Final = _CIRCLE // WHOLE_SIZE


@dataclass(frozen=True, slots=True)
class LoadPart:
    """A stretch of a line of length `WHOLE_SIZE`.

    Item k lies at the fraction of k times the golden ratio: the first n items of a load are spread evenly for every n,
    so that each part has its proportion of them at every instant.
    """

    start: int
    size: int

    @staticmethod
    def of(message: workflow_pb2.LoadShare | None) -> LoadPart:
        """The part a message means; None: the whole."""
        return WHOLE if message is None else LoadPart(message.start, message.size)

    def to_proto(self) -> workflow_pb2.LoadShare:
        """The message."""
        return workflow_pb2.LoadShare(start=self.start, size=self.size)

    def divide(self, weights: Sequence[int]) -> list[LoadPart]:
        """One part per weight, in proportion; they fill this one without a gap. All weights 0: nothing for anybody."""
        total = sum(weights)
        if not total:
            return [LoadPart(self.start, 0) for _ in weights]
        bounds = [self.start + self.size * below // total for below in accumulate(weights, initial=0)]
        return [LoadPart(start, end - start) for start, end in pairwise(bounds)]

    def contains(self, item: int) -> bool:
        """Whether an item, from 1, has its home here."""
        return 0 <= item * _GOLDEN % _CIRCLE // _POINTS_PER_UNIT - self.start < self.size

    def count_of(self, places: int) -> int:
        """How many of so many places, spread at equal distances over the whole, lie here; one more or less makes no gap."""
        return _places_below(self.start + self.size, places) - _places_below(self.start, places)

    def items(self, last: int) -> Iterator[int]:
        """The items from 1 to `last` that have their home here, in order, each found in constant time.

        By the three-gap theorem the next item is one of three steps away: the shortest step that moves right by less than
        the part's size, the shortest that moves left by less, or both together.
        """
        if not self.size:
            return
        size = self.size * _POINTS_PER_UNIT
        steps = _Steps.within(size, last)
        item = next((item for item in range(1, last + 1) if self.contains(item)), last + 1)
        place = (item * _GOLDEN - self.start * _POINTS_PER_UNIT) % _CIRCLE
        while item <= last:
            yield item
            step, move = steps.next_from(place, size)
            item += step
            place += move


WHOLE: Final = LoadPart(0, WHOLE_SIZE)


@dataclass(frozen=True, slots=True)
class _Steps:
    """Steps between items of one part, and how far they move on the circle."""

    right: int
    right_move: int
    left: int
    left_move: int

    @staticmethod
    def within(size: int, last: int) -> _Steps:
        """The shortest steps whose moves are below `size`; given up, since of no use, when they are longer than `last`."""
        right, right_move = 1, _GOLDEN
        left, left_move = 1, _CIRCLE - _GOLDEN
        while max(right_move, left_move) >= size and min(right, left) <= last:
            if right_move > left_move:
                right, right_move = right + left, right_move - left_move
            else:
                left, left_move = left + right, left_move - right_move
        return _Steps(right, right_move, left, left_move)

    def next_from(self, place: int, size: int) -> tuple[int, int]:
        goes_right = place + self.right_move < size
        goes_left = place >= self.left_move
        if goes_right and (self.right < self.left or not goes_left):
            return self.right, self.right_move
        if goes_left:
            return self.left, -self.left_move
        return self.right + self.left, self.right_move - self.left_move


def _places_below(end: int, places: int) -> int:
    return -(-end * places // WHOLE_SIZE)
