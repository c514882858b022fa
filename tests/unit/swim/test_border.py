"""What gates and managers say to each other, and what they do not take for it."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field

from hyperscale.swim import Identity, InputRefused, NodeAddress, RefusalReason, Role, Swim, SwimConfig
from hyperscale.swim.border import Border
from hyperscale.swim.federation import FederationConfig, FederationProber, FederationResponder, Reachability
from hyperscale.swim.keyring import DatagramSeal, Keyring, SealIdentity
from hyperscale.v1.swim_pb2 import SwimCrossAck, SwimCrossProbe, SwimEnvelope

GATE, MANAGER = NodeAddress("10.0.0.1", 1), NodeAddress("10.0.0.2", 2)
LABEL = "c/federation"


def identity(role: Role, cluster: str = LABEL, environment: str = "e") -> Identity:
    address = GATE if role is Role.GATE else MANAGER
    return Identity(role.name, role, address, cluster, environment, "east")


def seal(who: Identity, key: bytes) -> DatagramSeal | None:
    name = SealIdentity(who.cluster_id, who.environment_id, who.node_id, 1)
    return DatagramSeal(Keyring(key), name, os.urandom) if key else None


@dataclass(slots=True)
class Leader:
    """A manager that leads, or does not."""

    leads: bool = True

    def health(self) -> SwimCrossAck | None:
        return SwimCrossAck(leader_term=7, total_cores=4) if self.leads else None

    def leader(self) -> NodeAddress | None:
        return None


@dataclass(slots=True)
class Sides:
    """A gate that probes one manager, both under the same label."""

    gate_key: bytes = b""
    manager_key: bytes = b""
    prober: FederationProber = field(default_factory=lambda: FederationProber(FederationConfig.local()))

    def exchange(self) -> tuple[Border, Border]:
        gate, manager = identity(Role.GATE), identity(Role.MANAGER)
        asking = Border(gate, 1, self.prober, seal(gate, self.gate_key))
        responder = FederationResponder("east", Leader())
        answering = Border(manager, 1, responder, seal(manager, self.manager_key))
        self.prober.watch("east", [MANAGER], 0.0)
        asking.handle_timer(0.0)
        carry(asking, answering, GATE, 0.1)
        carry(answering, asking, MANAGER, 0.2)
        return asking, answering

    def state(self) -> Reachability:
        view = self.prober.view("east")
        assert view is not None
        return view.state


def carry(sender: Border, receiver: Border, source: NodeAddress, now: float) -> None:
    for datagram in sender.datagrams_to_send(now):
        if receiver.claims(datagram.data):
            receiver.receive_datagram(datagram.data, source, now)


def refusals(border: Border) -> list[RefusalReason]:
    return [event.reason for event in border.events() if isinstance(event, InputRefused)]


def test_a_leader_answers_a_gate_in_plain_text_and_encrypted() -> None:
    for key in (b"", b"k" * 32):
        sides = Sides(key, key)
        asking, answering = sides.exchange()
        assert sides.state() is Reachability.REACHABLE
        view = sides.prober.view("east")
        assert view is not None
        assert view.health is not None
        assert (view.health.leader_term, view.rtt_upper_seconds) == (7, 0.2)
        assert refusals(asking) == refusals(answering) == []
        assert (asking.counters().datagrams_sent, asking.counters().datagrams_received) == (1, 1)


def test_another_key_opens_nothing_and_is_told() -> None:
    sides = Sides(b"k" * 32, b"x" * 32)
    _, answering = sides.exchange()
    assert sides.state() is Reachability.UNREACHABLE
    assert refusals(answering) == [RefusalReason.UNDECRYPTABLE]


def test_plain_text_and_encryption_do_not_mix() -> None:
    for keys in ((b"k" * 32, b""), (b"", b"k" * 32)):
        sides = Sides(*keys)
        sides.exchange()
        assert sides.state() is Reachability.UNREACHABLE


def test_what_a_group_says_stays_with_the_group_and_the_other_way_round() -> None:
    for key in (b"", b"k" * 32):
        member = identity(Role.GATE, "c/gates")
        swim = Swim(member, SwimConfig.local(), random.Random(1), 0.0, keyring=seal(member, key))
        swim.join([MANAGER], 0.0)
        swim.handle_timer(0.0)
        border = Border(
            identity(Role.MANAGER), 1, FederationResponder("east", Leader()), seal(identity(Role.MANAGER), key)
        )
        said = [datagram.data for datagram in swim.datagrams_to_send(0.0)]
        said += [request.data for request in swim.streams_to_open(0.0)]
        assert said
        assert not any(border.claims(each) for each in said)
        sides = Sides(key, key)
        asking, _ = sides.exchange()
        asking.handle_timer(5.0)
        for datagram in asking.datagrams_to_send(5.0):
            swim.receive_datagram(datagram.data, MANAGER, 5.0)
        assert len(swim.members()) == 1
        reasons = swim.counters().refused
        assert reasons[RefusalReason.WRONG_GROUP if key else RefusalReason.WRONG_CLUSTER] == 1


def test_another_environment_is_not_claimed_so_that_the_group_refuses_it_in_words() -> None:
    border = Border(identity(Role.MANAGER), 1, FederationResponder("east", Leader()), None)
    prober = FederationProber(FederationConfig())
    prober.watch("east", [MANAGER], 0.0)
    stranger = Border(identity(Role.GATE, environment="other"), 1, prober, None)
    stranger.handle_timer(0.0)
    (probe,) = stranger.datagrams_to_send(0.0)
    assert not border.claims(probe.data)


def test_faulty_input_is_counted_and_answers_nobody() -> None:
    border = Border(identity(Role.MANAGER), 1, FederationResponder("east", Leader()), None)
    label = SwimEnvelope(protocol=1, cluster_id=LABEL, environment_id="e").SerializeToString()
    probe = SwimEnvelope(cross_probe=SwimCrossProbe(sequence=1, datacenter="east")).SerializeToString()
    of_manager = SwimEnvelope(cross_ack=SwimCrossAck(sequence=1)).SerializeToString()
    for data, reason in (
        (label + b"\xff\xff", RefusalReason.MALFORMED),
        (label + b"\x00" * 2000, RefusalReason.OVERSIZED),
        (label + probe, RefusalReason.BAD_IDENTITY),
    ):
        assert border.claims(data)
        border.receive_datagram(data, GATE, 0.0)
        assert refusals(border) == [reason]
    gate = Border(identity(Role.GATE), 1, FederationProber(FederationConfig()), None)
    gate.receive_datagram(label + of_manager, MANAGER, 0.0)
    assert refusals(gate) == [RefusalReason.BAD_IDENTITY]
    assert border.datagrams_to_send(0.0) == []


def test_only_gates_are_answered_and_only_managers_believed() -> None:
    responder = FederationResponder("east", Leader())
    probe = SwimEnvelope(cross_probe=SwimCrossProbe(sequence=1, datacenter="east"))
    assert not responder.receive(probe, identity(Role.WORKER), GATE, 0.0)
    assert responder.messages_to_send() == []
    prober = FederationProber(FederationConfig())
    assert not prober.receive(SwimEnvelope(cross_ack=SwimCrossAck()), identity(Role.WORKER), MANAGER, 0.0)
    assert not prober.receive(probe, identity(Role.MANAGER), MANAGER, 0.0)
