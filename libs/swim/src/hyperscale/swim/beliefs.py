"""The changes a belief about a member can undergo, and what follows from each.

UNCONFIRMED becomes ALIVE by a message from the member, ALIVE becomes SUSPECT by an accusation, SUSPECT becomes DEAD by time,
and all of them LEFT by the member's own word. The way back is a higher incarnation.
"""

from __future__ import annotations

from collections import OrderedDict

from hyperscale.swim.confirmation import Confirmations
from hyperscale.swim.events import (
    MemberConfirmed,
    MemberDied,
    MemberForgotten,
    MemberJoined,
    MemberLeft,
    MemberMoved,
    MemberRecovered,
    MemberSuspected,
    MetadataChanged,
)
from hyperscale.swim.members import GONE, MemberRecord
from hyperscale.swim.models import Identity, MemberState
from hyperscale.swim.refusals import Overflow
from hyperscale.swim.shared import Shared
from hyperscale.swim.suspicion import Suspicion, expected_confirmations
from hyperscale.swim.timers import TimerKind
from hyperscale.swim.wire import encode_belief, encode_member


class Beliefs:
    """Carries out changes: table, timers, events and news together."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._confirmations = Confirmations(shared)
        self._suspicions: dict[str, Suspicion] = {}
        self._tombstones: OrderedDict[str, int] = OrderedDict()

    def is_stale(self, node_id: str, incarnation: int) -> bool:
        """Whether news of an unknown member is older than when it was forgotten."""
        buried = self._tombstones.get(node_id)
        return buried is not None and incarnation <= buried

    def discover(self, identity: Identity, incarnation: int, now: float) -> MemberRecord | None:
        """Put in a member known by hearsay; none when there is no room."""
        record = MemberRecord(identity, MemberState.UNCONFIRMED, incarnation, now)
        if not self._add(record):
            return None
        self._confirmations.watch(record, now)
        return record

    def meet(self, identity: Identity, incarnation: int, now: float) -> MemberRecord | None:
        """Put in a member that spoke before anything was heard of it; none when there is no room."""
        record = MemberRecord(identity, MemberState.ALIVE, incarnation, now)
        if not self._add(record):
            return None
        self._shared.journal.emit(MemberConfirmed(record.view()))
        self.spread(record, now)
        return record

    def assume(self, identity: Identity, incarnation: int, now: float) -> None:
        """Put in a member that the owner vouches for; it is no news to anybody."""
        self._shared.table.add(MemberRecord(identity, MemberState.ALIVE, incarnation, now), self._shared.rng)

    def confirm(self, record: MemberRecord, incarnation: int, now: float) -> None:
        """Take a message from an unconfirmed member as proof that it is there."""
        self._confirmations.settle(record.node_id)
        is_news = incarnation > record.incarnation
        self._shared.table.change(record, MemberState.ALIVE, max(incarnation, record.incarnation), now)
        self._shared.journal.emit(MemberConfirmed(record.view()))
        if is_news:
            self.spread(record, now)

    def raise_incarnation(self, record: MemberRecord, incarnation: int, now: float) -> None:
        """Take over a higher incarnation: an unconfirmed member stays so, all others are alive again."""
        previous = record.state
        state = previous if previous is MemberState.UNCONFIRMED else MemberState.ALIVE
        self._drop_timers(record)
        self._shared.table.change(record, state, incarnation, now)
        if state is not previous:
            self._shared.journal.emit(MemberRecovered(record.view(), previous))
        self.spread(record, now)

    def move(self, record: MemberRecord, identity: Identity) -> None:
        """Take over where a member is now."""
        if identity == record.identity:
            return
        previous = record.address
        self._shared.table.move(record, identity)
        self._shared.journal.emit(MemberMoved(record.view(), previous))

    def learn_metadata(self, record: MemberRecord, metadata: bytes, version: int, now: float) -> None:
        """Take over what the member says of itself, if it is newer."""
        if version <= record.metadata_version:
            return
        record.set_metadata(metadata, version)
        self._shared.journal.emit(MetadataChanged(record.view()))
        self.spread(record, now)

    def suspect(self, record: MemberRecord, incarnation: int, accuser_id: str, now: float) -> None:
        """Suspect a present member, or count one more accuser of it; unconfirmed members are never suspected."""
        if not record.is_present:
            return
        if record.state is MemberState.SUSPECT:
            self._accuse(record, incarnation, accuser_id, now)
            return
        shared = self._shared
        shared.table.change(record, MemberState.SUSPECT, incarnation, now)
        minimum, maximum = shared.timeouts.suspicion_seconds(shared.table.size)
        accusers = shared.table.accusers_of(record.identity.role)
        expected = expected_confirmations(shared.config.suspicion_multiplier, accusers)
        suspicion = Suspicion(now, minimum, maximum, expected, {accuser_id}, shared.timeouts.patience(record, now))
        self._suspicions[record.node_id] = suspicion
        self._await(record.node_id, suspicion, now)
        shared.journal.emit(MemberSuspected(record.view(), accuser_id))
        self._spread_accusation(record, accuser_id, now)

    def bury(self, record: MemberRecord, incarnation: int, accuser_id: str, now: float) -> None:
        """Take a member for dead; one known by hearsay only is forgotten instead."""
        shared = self._shared
        if record.state is MemberState.UNCONFIRMED:
            update = encode_belief(record.node_id, MemberState.DEAD, incarnation, accuser_id)
            shared.gossip.spread_belief(record.node_id, update, now)
            self.give_up(record.node_id, incarnation, now)
            return
        was_present = record.is_present
        self._drop_timers(record)
        shared.table.change(record, MemberState.DEAD, incarnation, now)
        config = shared.config
        shared.timers.schedule((TimerKind.GOSSIP_TO_DEAD_END, record.node_id), now + config.gossip_to_dead_seconds)
        shared.timers.schedule((TimerKind.FORGET, record.node_id), now + config.dead_retention_seconds)
        if was_present:
            shared.journal.emit(MemberDied(record.view(), accuser_id))
        self._spread_accusation(record, accuser_id, now)

    def let_go(self, record: MemberRecord, incarnation: int, now: float) -> None:
        """Take over that a member has left; one known by hearsay only is forgotten instead."""
        shared = self._shared
        if record.state is MemberState.UNCONFIRMED:
            update = encode_belief(record.node_id, MemberState.LEFT, incarnation, "")
            shared.gossip.spread_belief(record.node_id, update, now)
            self.give_up(record.node_id, incarnation, now)
            return
        was_gone = record.state in GONE
        self._drop_timers(record)
        shared.table.change(record, MemberState.LEFT, incarnation, now)
        shared.table.reachable.discard(record.node_id)
        shared.timers.schedule((TimerKind.FORGET, record.node_id), now + shared.config.left_retention_seconds)
        if not was_gone:
            shared.journal.emit(MemberLeft(record.view()))
        self._spread_accusation(record, "", now)

    def suspicion_ended(self, node_id: str, now: float) -> None:
        """Declare a suspect dead that did not refute; wait on while there is reason for patience."""
        shared = self._shared
        record, suspicion = shared.table.get(node_id), self._suspicions.get(node_id)
        if record is None or suspicion is None:
            return
        suspicion.reconsider(shared.timeouts.patience(record, now))
        if suspicion.deadline <= now:
            self.bury(record, record.incarnation, shared.local.node_id, now)
        else:
            self._await(node_id, suspicion, now)

    def attempt_confirmation(self, node_id: str, now: float) -> None:
        """Ask an unconfirmed member."""
        self._confirmations.attempt(node_id, now)

    def give_up(self, node_id: str, incarnation: int, now: float) -> None:
        """Forget an unconfirmed member; old news of it does not bring it back for a while."""
        shared = self._shared
        record = shared.table.get(node_id)
        if record is None or record.state is not MemberState.UNCONFIRMED:
            return
        self.forget(node_id)
        self._tombstones[node_id] = max(incarnation, record.incarnation)
        if len(self._tombstones) > shared.config.members_max:
            oldest, _ = self._tombstones.popitem(last=False)
            shared.timers.cancel((TimerKind.TOMBSTONE, oldest))
        shared.timers.schedule((TimerKind.TOMBSTONE, node_id), now + shared.config.left_retention_seconds)

    def drop_tombstone(self, node_id: str) -> None:
        """Let news of a member count again that was never heard from."""
        self._tombstones.pop(node_id, None)

    def forget(self, node_id: str) -> None:
        """Take a member out of the table."""
        record = self._shared.table.remove(node_id)
        if record is not None:
            self._removed(record)

    def spread(self, record: MemberRecord, now: float) -> None:
        """Tell others all that is known of a member."""
        self._shared.gossip.spread_record(record.node_id, record.update(), now)

    def accusation(self, record: MemberRecord) -> bytes:
        """Return what a member has to hear in order to refute it."""
        if record.state in (MemberState.SUSPECT, MemberState.DEAD, MemberState.LEFT):
            return encode_belief(record.node_id, record.state, record.incarnation, self._shared.local.node_id)
        return record.update()

    def _add(self, record: MemberRecord) -> bool:
        shared = self._shared
        had_room, evicted = shared.table.add(record, shared.rng)
        if evicted is not None:
            self._removed(evicted)
        if not had_room:
            shared.journal.overflow(Overflow.MEMBERS)
            return False
        self._tombstones.pop(record.node_id, None)
        shared.timers.cancel((TimerKind.TOMBSTONE, record.node_id))
        shared.journal.emit(MemberJoined(record.view()))
        return True

    def _removed(self, record: MemberRecord) -> None:
        self._drop_timers(record)
        self._confirmations.settle(record.node_id)
        if self._shared.coordinates is not None:
            self._shared.coordinates.forget(record.node_id)
        self._shared.journal.emit(MemberForgotten(record.view()))

    def _accuse(self, record: MemberRecord, incarnation: int, accuser_id: str, now: float) -> None:
        """Count an accuser. However many there are and whenever they come, the deadline only moves nearer."""
        suspicion = self._suspicions[record.node_id]
        if incarnation > record.incarnation:
            self._shared.table.change(record, MemberState.SUSPECT, incarnation, now)
        if suspicion.confirm(accuser_id):
            self._await(record.node_id, suspicion, now)
            self._spread_accusation(record, accuser_id, now)

    def _await(self, node_id: str, suspicion: Suspicion, now: float) -> None:
        due = suspicion.next_look(now, self._shared.config.probe_interval_seconds)
        self._shared.timers.schedule((TimerKind.SUSPICION, node_id), due)

    def _drop_timers(self, record: MemberRecord) -> None:
        node_id, timers = record.node_id, self._shared.timers
        if self._suspicions.pop(node_id, None) is not None:
            timers.cancel((TimerKind.SUSPICION, node_id))
        if record.state in GONE:
            timers.cancel((TimerKind.GOSSIP_TO_DEAD_END, node_id))
            timers.cancel((TimerKind.FORGET, node_id))

    def _spread_accusation(self, record: MemberRecord, accuser_id: str, now: float) -> None:
        """Spread state and accuser; all of the record when other news of it was not yet spread."""
        gossip = self._shared.gossip
        if gossip.is_spreading_record(record.node_id):
            metadata = (record.metadata, record.metadata_version)
            update = encode_member(record.identity, record.state, record.incarnation, metadata, accuser_id)
            gossip.spread_record(record.node_id, update, now)
            return
        update = encode_belief(record.node_id, record.state, record.incarnation, accuser_id)
        gossip.spread_belief(record.node_id, update, now)
