"""What crosses the border of a group, over the port of one of its nodes.

Nodes on both sides agree on a cluster id that no group has, so that nothing of it is taken for news of a group, and the other
way round. Sealed under that id, a datagram of a group does not open here either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hyperscale.swim.events import Event
from hyperscale.swim.federation import CrossMessage, ReachabilityChanged
from hyperscale.swim.journal import Counters, Journal
from hyperscale.swim.models import Datagram, Identity, NodeAddress
from hyperscale.swim.reception import Reception, Unreadable
from hyperscale.swim.refusals import RefusalReason
from hyperscale.swim.seal import Seal
from hyperscale.swim.wire import encode_envelope, encode_sender, incarnation_fault, read_identity
from hyperscale.v1.swim_pb2 import SwimEnvelope

_PAYLOAD_MAX_BYTES = 1400
_EVENTS_MAX = 256


class CrossParty(Protocol):
    """One side of what is said across the border: who asks, or who answers."""

    def receive(self, envelope: SwimEnvelope, sender: Identity, source: NodeAddress, now: float) -> bool:
        """Take in a message; false when it is not for this side."""
        ...

    def messages_to_send(self) -> list[CrossMessage]:
        """Return what is to be sent, and forget it."""
        ...

    def events(self) -> Sequence[ReachabilityChanged]:
        """Return what has happened since the last call."""
        ...

    def next_deadline(self) -> float | None:
        """Return when `handle_timer` is to be called."""
        ...

    def handle_timer(self, now: float) -> None:
        """Do what is due."""


class MarkedSeal(Seal, Protocol):
    """A seal whose datagrams can be told from those of others."""

    @property
    def mark(self) -> bytes:
        """What everything starts with that it seals."""
        ...


class Border:
    """Carries what a party says, beside what the node says to its group. Driven like the core.

    Parameters
    ----------
    identity
        The node, with the cluster id that both sides agree on.
    incarnation
        Which life of the node this is.
    seal
        Encrypts and decrypts under that cluster id; none for plain text.
    """

    def __init__(self, identity: Identity, incarnation: int, party: CrossParty, seal: MarkedSeal | None) -> None:
        self._identity = identity
        self._party = party
        self._seal = seal
        self._reception = Reception(identity, seal)
        self._journal = Journal(_EVENTS_MAX)
        self._prefix = encode_envelope(identity) + encode_sender(identity, incarnation, 0, 1.0)
        self._mark = encode_envelope(identity) if seal is None else seal.mark

    def claims(self, data: bytes) -> bool:
        """Whether a datagram says that it crosses the border; all others are the group's."""
        return data.startswith(self._mark)

    def receive_datagram(self, data: bytes, source: NodeAddress, now: float) -> None:
        """Take in a datagram that was claimed."""
        journal = self._journal
        journal.traffic.datagrams_received += 1
        journal.traffic.bytes_received += len(data)
        envelope = self._reception.read(data, _PAYLOAD_MAX_BYTES)
        if isinstance(envelope, Unreadable):
            journal.refuse(envelope.reason, source, now, envelope.detail)
            return
        sender = read_identity(envelope.sender.node_id, envelope.sender.identity, self._identity)
        if sender is None or incarnation_fault(envelope.sender.incarnation, None) is not None:
            journal.refuse(RefusalReason.BAD_IDENTITY, source, now, "across the border")
            return
        if not self._party.receive(envelope, sender, source, now):
            journal.refuse(RefusalReason.MALFORMED, source, now, f"{sender.node_id!r} says what is not for this node")

    def datagrams_to_send(self, _now: float) -> list[Datagram]:
        """Return what is to be sent, and forget it."""
        return [self._datagram(message) for message in self._party.messages_to_send()]

    def events(self) -> list[Event]:
        """Return what has happened since the last call."""
        return [*self._party.events(), *self._journal.take_events()]

    def next_deadline(self) -> float | None:
        """Return when `handle_timer` is to be called."""
        return self._party.next_deadline()

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        self._party.handle_timer(now)

    def counters(self) -> Counters:
        """Return what was counted so far."""
        return self._journal.counters()

    def _datagram(self, message: CrossMessage) -> Datagram:
        plain = self._prefix + message.body
        data = plain if self._seal is None else self._seal.seal(plain)
        self._journal.traffic.datagrams_sent += 1
        self._journal.traffic.bytes_sent += len(data)
        return Datagram(message.address, data)
