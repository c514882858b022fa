"""A node under test, and peers that say whatever a test wants."""

from __future__ import annotations

import random

from hyperscale.swim import Event, Identity, MemberState, NodeAddress, Role, Swim, SwimConfig
from hyperscale.swim.coordinates import NetworkCoordinates
from hyperscale.swim.wire import (
    encode_belief,
    encode_envelope,
    encode_gossip,
    encode_member,
    encode_ping,
    encode_sender,
)
from hyperscale.v1.swim_pb2 import SwimEnvelope
from tests.support.swim_network import EventT, identity

GOSSIP = encode_gossip()


def message(who: Identity, *updates: bytes, body: bytes = GOSSIP, incarnation: int = 1, load: float = 1.0) -> bytes:
    """Return a datagram as that node would send it."""
    return b"".join([encode_envelope(who), encode_sender(who, incarnation, 0, load), body, *updates])


def alive(name: str, incarnation: int = 1, role: Role = Role.GATE, metadata: bytes = b"", version: int = 0) -> bytes:
    return encode_member(identity(name, role), MemberState.ALIVE, incarnation, (metadata, version))


def suspect(name: str, incarnation: int, accuser: str) -> bytes:
    return encode_belief(name, MemberState.SUSPECT, incarnation, accuser)


def dead(name: str, incarnation: int, accuser: str) -> bytes:
    return encode_belief(name, MemberState.DEAD, incarnation, accuser)


def left(name: str, incarnation: int) -> bytes:
    return encode_belief(name, MemberState.LEFT, incarnation, "")


class Puppet:
    """The node `me`, its clock, and all that it said."""

    def __init__(
        self,
        role: Role = Role.GATE,
        config: SwimConfig | None = None,
        *,
        seed: int = 1,
        coordinates: NetworkCoordinates | None = None,
    ) -> None:
        self.now = 100.0
        self.config = config or SwimConfig.lan()
        self.node = Swim(
            identity("me", role), self.config, random.Random(seed), self.now, incarnation=1, coordinates=coordinates
        )
        self.sent: list[tuple[float, NodeAddress, SwimEnvelope]] = []
        self.events: list[Event] = []

    def hear(self, who: str | Identity, *updates: bytes, body: bytes = GOSSIP, incarnation: int = 1) -> None:
        """Let the node receive a datagram from a peer."""
        peer = identity(who) if isinstance(who, str) else who
        self.receive(message(peer, *updates, body=body, incarnation=incarnation), peer.address)

    def receive(self, data: bytes, source: NodeAddress | None = None) -> None:
        self.node.receive_datagram(data, source or NodeAddress("x.test", 7000), self.now)
        self.collect()

    def pinged_by(self, who: str | Identity, incarnation: int = 1) -> None:
        self.hear(who, body=encode_ping(7, "me", 0), incarnation=incarnation)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while (deadline := self.node.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.node.handle_timer(self.now)
            self.collect()
        self.now = end

    def state(self, name: str) -> MemberState | None:
        member = self.node.member(name)
        return None if member is None else member.state

    def of(self, kind: type[EventT]) -> list[EventT]:
        return [event for event in self.events if isinstance(event, kind)]

    def bodies(self, kind: str, to: str = "") -> list[tuple[float, SwimEnvelope]]:
        """Return when and what was sent, of a kind, to a peer."""
        return [
            (when, envelope)
            for when, address, envelope in self.sent
            if envelope.WhichOneof("body") == kind and (not to or address.host == f"{to}.test")
        ]

    def collect(self) -> None:
        """Take what the node has to say."""
        self.events += self.node.events()
        for datagram in self.node.datagrams_to_send(self.now):
            self.sent.append((self.now, datagram.address, SwimEnvelope.FromString(datagram.data)))
