"""Rounds of gossip: news goes to a few members at random until it has been sent often enough; silence when there is none."""

from __future__ import annotations

from collections.abc import Callable

from hyperscale.swim.config import SwimConfig
from hyperscale.swim.dissemination import Dissemination
from hyperscale.swim.journal import Journal
from hyperscale.swim.members import MemberTable
from hyperscale.swim.outbox import DatagramOutbox
from hyperscale.swim.ports import RandomSource
from hyperscale.swim.refusals import Overflow
from hyperscale.swim.timers import TimerKind, Timers
from hyperscale.swim.wire import encode_gossip

_BODY = encode_gossip()


class Gossip:
    """Puts news on its way."""

    def __init__(
        self,
        config: SwimConfig,
        rng: RandomSource,
        table: MemberTable,
        *,
        timers: Timers,
        news: Dissemination,
        outbox: DatagramOutbox,
        journal: Journal,
    ) -> None:
        self._nodes = config.gossip_nodes
        self._interval_seconds = config.gossip_interval_seconds
        self._rng = rng
        self._table = table
        self._timers = timers
        self._news = news
        self._outbox = outbox
        self._journal = journal

    def spread_record(self, node_id: str, update: bytes, now: float) -> None:
        """Spread all that is known of a member, in place of older news of it."""
        self._put(self._news.put_record, node_id, update, now)

    def spread_belief(self, node_id: str, update: bytes, now: float) -> None:
        """Spread a belief about a member, in place of older news of it."""
        self._put(self._news.put_belief, node_id, update, now)

    def is_spreading(self, node_id: str) -> bool:
        """Whether there is still news of the member to be sent."""
        return node_id in self._news

    def is_spreading_record(self, node_id: str) -> bool:
        """Whether a whole record of the member is still to be sent."""
        return self._news.has_complete(node_id)

    def round(self, now: float) -> None:
        """Send what there is to a few members; the next round comes only if something remains."""
        for node_id in self._table.reachable.sample(self._nodes, self._rng, self._is_member):
            record = self._table.get(node_id)
            if record is None or not self._outbox.send_news(record.address, _BODY):
                break
        if self._news:
            self._timers.schedule((TimerKind.GOSSIP, ""), now + self._interval_seconds)

    def _put(self, put: Callable[[str, bytes], bool], node_id: str, update: bytes, now: float) -> None:
        if not put(node_id, update):
            self._journal.overflow(Overflow.UPDATES)
        if (TimerKind.GOSSIP, "") not in self._timers:
            self._timers.schedule((TimerKind.GOSSIP, ""), now + self._interval_seconds)

    def _is_member(self, node_id: str) -> bool:
        return self._table.get(node_id) is not None
