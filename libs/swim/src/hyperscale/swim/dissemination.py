"""News that rides along: the least transmitted first, each a limited number of times, only the newest about a member."""

from __future__ import annotations

import math
from dataclasses import dataclass

_MISFITS_MAX = 8


def retransmit_limit(multiplier: int, members: int) -> int:
    """How often one node sends an update: `multiplier · ceil(log10(n + 1))`."""
    return multiplier * math.ceil(math.log10(members + 1))


@dataclass(slots=True)
class _News:
    update: bytes
    is_complete: bool
    transmissions: int = 0


class Dissemination:
    """Encoded updates by member. Bounded: beyond it the most transmitted one goes."""

    def __init__(self, multiplier: int, updates_max: int) -> None:
        self._multiplier = multiplier
        self._updates_max = updates_max
        self._pending: dict[str, _News] = {}
        self._ranks: list[dict[str, _News]] = []

    def __len__(self) -> int:
        return len(self._pending)

    def __contains__(self, node_id: str) -> bool:
        return node_id in self._pending

    def has_complete(self, node_id: str) -> bool:
        """Whether what is to be spread about a member is all of its record."""
        pending = self._pending.get(node_id)
        return pending is not None and pending.is_complete

    def put_record(self, node_id: str, update: bytes) -> bool:
        """Spread a whole record instead of what was to be spread about the member; false when another had to go for it."""
        return self._put(node_id, _News(update, is_complete=True))

    def put_belief(self, node_id: str, update: bytes) -> bool:
        """Spread a belief instead of what was to be spread about the member; false when another had to go for it."""
        return self._put(node_id, _News(update, is_complete=False))

    def take(self, budget_bytes: int, members: int) -> list[bytes]:
        """Return updates that fit, and count them as transmitted once more."""
        if not self._pending:
            return []
        chosen = self._choose(budget_bytes)
        limit = retransmit_limit(self._multiplier, members)
        for node_id, pending in chosen:
            del self._ranks[pending.transmissions][node_id]
            pending.transmissions += 1
            if pending.transmissions >= limit:
                del self._pending[node_id]
            else:
                self._rank(pending.transmissions)[node_id] = pending
        return [pending.update for _, pending in chosen]

    def _put(self, node_id: str, pending: _News) -> bool:
        known = self._pending.get(node_id)
        if known is not None:
            del self._ranks[known.transmissions][node_id]
        had_room = known is not None or len(self._pending) < self._updates_max
        if not had_room:
            self._drop_most_transmitted()
        self._pending[node_id] = pending
        self._rank(0)[node_id] = pending
        return had_room

    def _choose(self, budget_bytes: int) -> list[tuple[str, _News]]:
        chosen: list[tuple[str, _News]] = []
        misfits = 0
        for rank in self._ranks:
            for node_id, pending in rank.items():
                if len(pending.update) <= budget_bytes:
                    budget_bytes -= len(pending.update)
                    chosen.append((node_id, pending))
                    continue
                misfits += 1
                if misfits >= _MISFITS_MAX:
                    return chosen
        return chosen

    def _rank(self, transmissions: int) -> dict[str, _News]:
        while len(self._ranks) <= transmissions:
            self._ranks.append({})
        return self._ranks[transmissions]

    def _drop_most_transmitted(self) -> None:
        rank = next(rank for rank in reversed(self._ranks) if rank)
        node_id = next(iter(rank))
        del rank[node_id], self._pending[node_id]
