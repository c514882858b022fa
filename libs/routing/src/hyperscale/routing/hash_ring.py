"""Job → owner gate, by a consistent hash.

Laws: every gate that knows the same members finds the same owner; only what a member owned moves when it leaves, and only
what a new one owns moves when it comes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from hashlib import blake2b
from itertools import chain

VIRTUAL_NODES = 150


class HashRing:
    """Members at `virtual_nodes` places each on a ring of 64 bits."""

    def __init__(self, members: Iterable[str], virtual_nodes: int = VIRTUAL_NODES) -> None:
        places = sorted(
            (_position(f"{member}#{turn}"), member) for member in set(members) for turn in range(virtual_nodes)
        )
        self._positions = [position for position, _ in places]
        self._members = [member for _, member in places]

    def owners(self, key: str, count: int) -> tuple[str, ...]:
        """The owner and those who follow when it is gone, up to `count` of them; empty without members."""
        start = bisect_left(self._positions, _position(key))
        around = chain(range(start, len(self._members)), range(start))
        found: dict[str, None] = {}
        for place in around:
            if len(found) == count:
                break
            found.setdefault(self._members[place])
        return tuple(found)


def _position(key: str) -> int:
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big")
