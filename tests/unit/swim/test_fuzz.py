"""The decoder against a million inputs that nobody would send."""

from __future__ import annotations

import random

from hyperscale.swim import MemberState, NodeAddress, Role, SwimConfig
from hyperscale.swim.wire import encode_ack, encode_nack, encode_ping, encode_ping_request, encode_push_pull
from tests.support.swim_network import identity
from tests.support.swim_puppet import GOSSIP, Puppet, alive, dead, left, message, suspect

INPUTS = 1_000_000
SOURCE = NodeAddress("x.test", 7000)


def corpus() -> list[bytes]:
    """Return real messages of all kinds."""
    who = identity("p0", Role.MANAGER)
    updates = [
        alive("p1", 2, metadata=b"m" * 40, version=3),
        suspect("p2", 1, "p0"),
        dead("p3", 1, "p0"),
        left("p1", 1),
    ]
    bodies = [
        GOSSIP,
        encode_ping(1, "me", 0),
        encode_ack(1, "", None),
        encode_nack(1),
        encode_ping_request(1, "p1", 0.4),
        encode_push_pull(),
    ]
    return [message(who, *updates[:count], body=body) for body in bodies for count in range(5)]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Return a message that is a little, or entirely, wrong."""
    changed = bytearray(data)
    kind = int(rng.random() * 5)
    if kind == 0:
        return rng.randbytes(int(rng.random() * 120))
    if kind == 1:
        return data[: int(rng.random() * len(data))]
    for _ in range(kind):
        changed[int(rng.random() * len(changed))] = int(rng.random() * 256)
    if kind == 4:
        start = int(rng.random() * len(changed))
        changed[start:start] = changed[: int(rng.random() * 40)]
    return bytes(changed)


def test_a_million_inputs_change_nothing_they_should_not_and_raise_nothing() -> None:
    rng = random.Random(20_26)
    puppet = Puppet(Role.MANAGER, SwimConfig(members_max=50, updates_max=50, events_max=100))
    node, messages = puppet.node, corpus()
    for number in range(4):
        puppet.hear(identity(f"p{number}", Role.MANAGER))
    for number in range(INPUTS):
        data = mutated(messages[number % len(messages)], rng)
        if number % 10:
            node.receive_datagram(data, SOURCE, puppet.now)
        else:
            node.receive_stream_request(data, SOURCE, puppet.now)
        if number % 1_000 == 0:
            puppet.run(0.01)
            puppet.sent.clear()
            puppet.events.clear()
    members = node.members()
    assert len(members) <= 51
    assert members[0].state is MemberState.ALIVE
    counters = node.counters()
    assert sum(counters.refused.values()) > INPUTS / 2
    assert len(counters.refused) >= 8
