"""A set that members can be drawn from at random, in constant time, whatever its size."""

from __future__ import annotations

from collections.abc import Callable

from hyperscale.swim.ports import RandomSource


class RandomSet:
    """Node ids in no particular order."""

    def __init__(self) -> None:
        self._items: list[str] = []
        self._positions: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item: str) -> bool:
        return item in self._positions

    def add(self, item: str) -> None:
        """Put in, once."""
        if item not in self._positions:
            self._positions[item] = len(self._items)
            self._items.append(item)

    def discard(self, item: str) -> None:
        """Take out; nothing happens when it is not in."""
        position = self._positions.pop(item, None)
        if position is None:
            return
        last = self._items.pop()
        if last != item:
            self._items[position] = last
            self._positions[last] = position

    def draw(self, rng: RandomSource) -> str | None:
        """Return one at random, none when the set is empty."""
        return self._items[int(rng.random() * len(self._items))] if self._items else None

    def sample(self, count: int, rng: RandomSource, accept: Callable[[str], bool]) -> list[str]:
        """Return up to `count` different ones that are accepted.

        Tries a number of draws that depends on `count` only; of a small set all are tried. Fewer may be returned when most
        of a large set are not accepted.
        """
        tries = 4 * count + 4
        if len(self._items) <= tries:
            return self._sample_small(count, rng, accept)
        chosen: list[str] = []
        for _ in range(tries):
            if len(chosen) >= count:
                break
            item = self._items[int(rng.random() * len(self._items))]
            if item not in chosen and accept(item):
                chosen.append(item)
        return chosen

    def _sample_small(self, count: int, rng: RandomSource, accept: Callable[[str], bool]) -> list[str]:
        candidates = [item for item in self._items if accept(item)]
        for index in range(min(count, len(candidates))):
            other = index + int(rng.random() * (len(candidates) - index))
            candidates[index], candidates[other] = candidates[other], candidates[index]
        return candidates[:count]


class Rotation:
    """Ids in random order, each once a round: a random round robin without shuffling everything at once.

    A newcomer waits for its turn in the round under way. Who is gone leaves when it is drawn.
    """

    def __init__(self) -> None:
        self._items: list[str] = []
        self._present: set[str] = set()
        self._done = 0

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: str) -> None:
        """Put in, once."""
        if item not in self._present:
            self._present.add(item)
            self._items.append(item)

    def next(self, rng: RandomSource, stays: Callable[[str], bool]) -> str | None:
        """Return the next one that stays; none when nobody does."""
        while self._items:
            if self._done >= len(self._items):
                self._done = 0
            chosen = self._done + int(rng.random() * (len(self._items) - self._done))
            item = self._items[chosen]
            if stays(item):
                self._items[chosen], self._items[self._done] = self._items[self._done], item
                self._done += 1
                return item
            self._present.discard(item)
            last = self._items.pop()
            if chosen < len(self._items):
                self._items[chosen] = last
        return None
