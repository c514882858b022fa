"""Exchange of whole tables: repairs what gossip lost. A remote DEAD is taken as SUSPECT, so that who lives can refute."""

from __future__ import annotations

from hyperscale.swim.hearsay import Hearsay
from hyperscale.swim.members import MemberRecord
from hyperscale.swim.models import MemberState, NodeAddress
from hyperscale.swim.shared import Shared
from hyperscale.swim.streams import Streams
from hyperscale.swim.timeouts import push_pull_seconds
from hyperscale.swim.timers import TimerKind
from hyperscale.v1 import swim_pb2


class PushPull:
    """Exchanges with one random member after the other."""

    def __init__(self, shared: Shared, streams: Streams, hearsay: Hearsay) -> None:
        self._shared = shared
        self._streams = streams
        self._hearsay = hearsay

    def start(self, now: float) -> None:
        """Begin at a random time of the first interval."""
        self._schedule(now, self._shared.rng.random())

    def exchange_next(self, now: float) -> None:
        """Exchange with somebody."""
        self._schedule(now, 1.0)
        shared = self._shared
        chosen = shared.table.present.sample(1, shared.rng, self._is_alive)
        record = shared.table.get(chosen[0]) if chosen else None
        if record is not None:
            self._streams.open_push_pull(record.address, now)

    def merge(self, envelope: swim_pb2.SwimEnvelope, sender: MemberRecord, source: NodeAddress, now: float) -> None:
        """Take in a member's table."""
        for update in envelope.updates:
            if update.state == swim_pb2.SWIM_STATE_DEAD:
                update.state = swim_pb2.SWIM_STATE_SUSPECT
            if update.state == swim_pb2.SWIM_STATE_SUSPECT:
                update.accuser_id = sender.node_id
            self._hearsay.take(update, source, now)

    def _schedule(self, now: float, share: float) -> None:
        base = self._shared.config.push_pull_interval_seconds
        if base:
            interval = push_pull_seconds(base, self._shared.table.size)
            self._shared.timers.schedule((TimerKind.PUSH_PULL, ""), now + share * interval)

    def _is_alive(self, node_id: str) -> bool:
        record = self._shared.table.get(node_id)
        return record is not None and record.state is MemberState.ALIVE
