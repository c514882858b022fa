"""What a message says of its sender, and what its updates say of others: each is checked, then becomes a belief or nothing."""

from __future__ import annotations

from hyperscale.swim.beliefs import Beliefs
from hyperscale.swim.events import AccusationRefuted
from hyperscale.swim.local import LOAD_MAX
from hyperscale.swim.members import GONE, MemberRecord, supersedes
from hyperscale.swim.models import MemberState, NodeAddress
from hyperscale.swim.refusals import RefusalReason
from hyperscale.swim.shared import Shared
from hyperscale.swim.wire import encode_gossip, incarnation_fault, read_identity, update_fault
from hyperscale.v1.swim_pb2 import (
    SWIM_STATE_ALIVE,
    SWIM_STATE_DEAD,
    SWIM_STATE_LEFT,
    SWIM_STATE_SUSPECT,
    SwimSender,
    SwimUpdate,
)

_GOSSIP = encode_gossip()


class Hearsay:
    """Reads senders and updates."""

    def __init__(self, shared: Shared, beliefs: Beliefs) -> None:
        self._shared = shared
        self._beliefs = beliefs

    def greet(self, sender: SwimSender, source: NodeAddress, now: float) -> MemberRecord | None:
        """Take a message as proof that its sender is there; none when the sender is refused, and the message with it."""
        record = self._shared.table.get(sender.node_id)
        if record is None or record.incarnation != sender.incarnation or record.state is MemberState.UNCONFIRMED:
            record = self._get_to_know(sender, record, source, now)
        elif not _is_at(sender, record):
            self._shared.journal.refuse(RefusalReason.TWIN, source, now, sender.node_id)
            self._shared.outbox.send(source, _GOSSIP, record.update())
            return None
        if record is not None:
            record.load = min(LOAD_MAX, max(1.0, sender.load_hundredths / 100))
        return record

    def correction(self, record: MemberRecord, sender: SwimSender) -> bytes:
        """Return what the sender has to hear because others believe otherwise of it; empty when there is nothing."""
        if sender.incarnation < record.incarnation:
            return self._beliefs.accusation(record)
        if record.state is MemberState.DEAD or (record.state is MemberState.SUSPECT and self._shared.config.buddy):
            return self._beliefs.accusation(record)
        return b""

    def take(self, update: SwimUpdate, source: NodeAddress, now: float) -> None:
        """Take in one update."""
        shared = self._shared
        node_id = update.node_id
        if node_id == shared.local.node_id:
            self._take_about_self(update, source, now)
            return
        record = shared.table.get(node_id)
        if record is not None and _is_old(update, record):
            self._take_details(update, record, source, now)
            return
        known = None if record is None else record.incarnation
        fault = update_fault(update) or incarnation_fault(update.incarnation, known)
        if fault is not None:
            shared.journal.refuse(fault, source, now, f"an update about {node_id!r}")
        elif update.state == SWIM_STATE_ALIVE:
            self._take_alive(update, record, source, now)
        elif record is not None:
            self._take_gone(update, record, source, now)

    def rebut(self, update: SwimUpdate, source: NodeAddress) -> None:
        """Tell who accuses a member in vain that it has refuted: the news of it went past the accuser, and does not come again."""
        if update.state not in (SWIM_STATE_SUSPECT, SWIM_STATE_DEAD):
            return
        record = self._shared.table.get(update.node_id)
        if record is not None and record.state is MemberState.ALIVE and update.incarnation < record.incarnation:
            self._shared.outbox.send(source, _GOSSIP, record.update())

    def _get_to_know(
        self, sender: SwimSender, record: MemberRecord | None, source: NodeAddress, now: float
    ) -> MemberRecord | None:
        shared, beliefs = self._shared, self._beliefs
        if sender.node_id == shared.local.node_id:
            shared.journal.refuse(RefusalReason.OWN_ID, source, now, f"from {sender.identity.host}")
            return None
        identity = read_identity(sender.node_id, sender.identity, shared.local.identity)
        fault = incarnation_fault(sender.incarnation, None if record is None else record.incarnation)
        if identity is None or fault is not None:
            shared.journal.refuse(fault or RefusalReason.BAD_IDENTITY, source, now, repr(sender.node_id))
            return None
        if record is None:
            return beliefs.meet(identity, sender.incarnation, now)
        if record.state is MemberState.UNCONFIRMED:
            beliefs.move(record, identity)
            beliefs.confirm(record, sender.incarnation, now)
        elif sender.incarnation > record.incarnation:
            beliefs.move(record, identity)
            beliefs.raise_incarnation(record, sender.incarnation, now)
        return record

    def _take_details(self, update: SwimUpdate, record: MemberRecord, source: NodeAddress, now: float) -> None:
        """Of a belief that is not new, use what is: another accuser, newer metadata."""
        if update.state == SWIM_STATE_SUSPECT and update.incarnation == record.incarnation:
            self._take_accuser(update, record, source, now)
        if update.metadata_version > record.metadata_version:
            self._take_metadata(update, record, source, now)

    def _take_accuser(self, update: SwimUpdate, record: MemberRecord, source: NodeAddress, now: float) -> None:
        if record.state is not MemberState.SUSPECT:
            return
        fault = update_fault(update)
        if fault is not None or not update.accuser_id:
            self._shared.journal.refuse(fault or RefusalReason.BAD_UPDATE, source, now, f"about {update.node_id!r}")
            return
        self._beliefs.suspect(record, update.incarnation, update.accuser_id, now)

    def _take_metadata(self, update: SwimUpdate, record: MemberRecord, source: NodeAddress, now: float) -> None:
        if not update.HasField("metadata"):
            return
        fault = update_fault(update) or incarnation_fault(update.metadata_version, record.metadata_version)
        if fault is not None:
            self._shared.journal.refuse(fault, source, now, f"metadata of {update.node_id!r}")
            return
        self._beliefs.learn_metadata(record, update.metadata, update.metadata_version, now)

    def _take_alive(self, update: SwimUpdate, record: MemberRecord | None, source: NodeAddress, now: float) -> None:
        shared, beliefs = self._shared, self._beliefs
        identity = read_identity(update.node_id, update.identity, shared.local.identity)
        if identity is None:
            shared.journal.refuse(RefusalReason.BAD_IDENTITY, source, now, f"of {update.node_id!r}")
            return
        if record is not None:
            beliefs.move(record, identity)
            beliefs.raise_incarnation(record, update.incarnation, now)
            self._take_details(update, record, source, now)
            return
        if beliefs.is_stale(update.node_id, update.incarnation):
            return
        record = beliefs.discover(identity, update.incarnation, now)
        if record is not None:
            beliefs.spread(record, now)
            self._take_details(update, record, source, now)

    def _take_gone(self, update: SwimUpdate, record: MemberRecord, source: NodeAddress, now: float) -> None:
        """Take news that a known member is suspect, dead or gone."""
        beliefs = self._beliefs
        if update.state == SWIM_STATE_LEFT:
            beliefs.let_go(record, update.incarnation, now)
        elif not update.accuser_id:
            self._shared.journal.refuse(RefusalReason.BAD_UPDATE, source, now, f"nobody accuses {update.node_id!r}")
        elif update.state == SWIM_STATE_DEAD:
            beliefs.bury(record, update.incarnation, update.accuser_id, now)
        else:
            if record.state in GONE:
                beliefs.raise_incarnation(record, update.incarnation, now)
            beliefs.suspect(record, update.incarnation, update.accuser_id, now)
        self._take_details(update, record, source, now)

    def _take_about_self(self, update: SwimUpdate, source: NodeAddress, now: float) -> None:
        shared = self._shared
        local, journal = shared.local, shared.journal
        if local.is_leaving:
            return
        fault = update_fault(update) or incarnation_fault(
            max(update.incarnation, update.metadata_version), max(local.incarnation, local.metadata_version)
        )
        if fault is not None:
            journal.refuse(fault, source, now, "about this node")
            return
        if update.metadata_version > local.metadata_version:
            local.supersede_metadata(update.metadata_version)
            shared.gossip.spread_record(local.node_id, local.update(), now)
        if update.incarnation < local.incarnation or self._is_own_word(update):
            return
        if update.state == SWIM_STATE_LEFT:
            journal.refuse(RefusalReason.FALSE_LEAVE, source, now)
        self._refute(update, now)

    def _is_own_word(self, update: SwimUpdate) -> bool:
        local = self._shared.local
        if update.state != SWIM_STATE_ALIVE or update.incarnation != local.incarnation:
            return False
        address = local.identity.address
        return (update.identity.host, update.identity.port) == (address.host, address.port)

    def _refute(self, update: SwimUpdate, now: float) -> None:
        shared = self._shared
        shared.local.supersede(update.incarnation)
        shared.awareness.refuted()
        shared.journal.emit(AccusationRefuted(update.accuser_id, shared.local.incarnation))
        shared.gossip.spread_record(shared.local.node_id, shared.local.update(), now)


def _is_old(update: SwimUpdate, record: MemberRecord) -> bool:
    """Whether the update changes nothing about a known member's state. Hearsay does not confirm an unconfirmed one."""
    if record.state is MemberState.UNCONFIRMED and update.incarnation == record.incarnation:
        return update.state in (SWIM_STATE_ALIVE, SWIM_STATE_SUSPECT)
    return not supersedes(update.incarnation, update.state, record.incarnation, record.state)


def _is_at(sender: SwimSender, record: MemberRecord) -> bool:
    address, said = record.identity.address, sender.identity
    return said.port == address.port and said.host == address.host
