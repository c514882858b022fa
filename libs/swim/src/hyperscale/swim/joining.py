"""The way into the group, and back into it: seeds are tried until somebody answers, then the dead and absent seeds now and then."""

from __future__ import annotations

from collections.abc import Sequence

from hyperscale.swim.beliefs import Beliefs
from hyperscale.swim.confirmation import UNTRACKED
from hyperscale.swim.members import MemberRecord
from hyperscale.swim.models import NodeAddress
from hyperscale.swim.shared import Shared
from hyperscale.swim.streams import Streams
from hyperscale.swim.timers import TimerKind
from hyperscale.swim.wire import encode_ping

SEEDS_MAX = 256
_SEEDS_AT_A_TIME = 8
_RETRIES_MAX = 16


class Joining:
    """Seeds, and attempts to reach who is not in the group."""

    def __init__(self, shared: Shared, beliefs: Beliefs, streams: Streams) -> None:
        self._shared = shared
        self._beliefs = beliefs
        self._streams = streams
        self._owners: dict[NodeAddress, str] = {}
        self._retries: dict[int, NodeAddress | None] = {}

    def join(self, seeds: Sequence[NodeAddress], now: float) -> None:
        """Replace the seeds, and try them; a seed that is this node itself is left out."""
        own = self._shared.local.identity.address
        known = self._owners
        self._owners = {seed: known.get(seed, "") for seed in seeds[:SEEDS_MAX] if seed != own}
        self.try_seeds(now)

    def try_seeds(self, now: float) -> None:
        """Exchange tables with some of the seeds; again later, until there is a member."""
        absent = self._absent_seeds()
        for _ in range(min(len(absent), _SEEDS_AT_A_TIME)):
            seed = absent.pop(int(self._shared.rng.random() * len(absent)))
            self._streams.open_push_pull(seed, now)
            self._shared.outbox.send(seed, encode_ping(UNTRACKED, "", 0))
        if self._owners and not self._shared.table.present:
            retry = now + self._shared.config.join_retry_seconds
            self._shared.timers.schedule((TimerKind.JOIN, ""), retry)

    def note_owner(self, address: NodeAddress, node_id: str) -> None:
        """Note who answers at a seed's address."""
        if address in self._owners:
            self._owners[address] = node_id

    def start(self, now: float) -> None:
        """Begin to try who is gone."""
        interval = self._shared.config.dead_retry_interval_seconds
        if interval:
            self._shared.timers.schedule((TimerKind.DEAD_RETRY, ""), now + interval)

    def retry(self, sequence: int, now: float) -> None:
        """Try one at random of the dead and the absent seeds."""
        self.start(now)
        table, rng = self._shared.table, self._shared.rng
        seeds = self._absent_seeds()
        chosen = int(rng.random() * (len(seeds) + len(table.dead)))
        if chosen < len(seeds):
            self._note_retry(sequence, seeds[chosen])
            self._shared.outbox.send(seeds[chosen], encode_ping(sequence, "", 0))
            return
        drawn = table.dead.draw(rng)
        record = None if drawn is None else table.get(drawn)
        if record is not None:
            self._note_retry(sequence, None)
            body = encode_ping(sequence, record.node_id, record.metadata_version)
            self._shared.outbox.send(record.address, body, self._beliefs.accusation(record))

    def acknowledge(self, sequence: int, prover: MemberRecord, now: float) -> None:
        """Exchange tables with somebody who is back: both sides may have thought many others dead."""
        if sequence not in self._retries:
            return
        seed = self._retries.pop(sequence)
        if seed is not None:
            self.note_owner(seed, prover.node_id)
        self._streams.open_push_pull(prover.address, now)

    def _absent_seeds(self) -> list[NodeAddress]:
        present = self._shared.table.present
        return [seed for seed, owner in self._owners.items() if owner not in present]

    def _note_retry(self, sequence: int, seed: NodeAddress | None) -> None:
        self._retries[sequence] = seed
        if len(self._retries) > _RETRIES_MAX:
            del self._retries[next(iter(self._retries))]
