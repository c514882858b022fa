"""Whatever arrives in whatever order, and however time passes, the laws of the table hold."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from hyperscale.swim import (
    Event,
    MemberConfirmed,
    MemberDied,
    MemberForgotten,
    MemberState,
    MemberSuspected,
    Role,
    SwimConfig,
)
from hyperscale.swim.members import supersedes
from hyperscale.swim.wire import encode_ack, encode_nack, encode_ping, encode_ping_request, encode_push_pull
from tests.support.swim_network import identity
from tests.support.swim_puppet import GOSSIP, Puppet, alive, dead, left, message, suspect

MEMBERS_MAX = 12
CONFIG = SwimConfig(
    members_max=MEMBERS_MAX,
    updates_max=20,
    events_max=50_000,
    relays_max=4,
    dead_retention_seconds=40,
    left_retention_seconds=30,
    dead_retry_interval_seconds=3,
)
NAMES = [f"p{number}" for number in range(16)]
Row = tuple[MemberState, int]


def random_updates(rng: random.Random) -> list[bytes]:
    def about(make: Callable[[str, int], bytes]) -> bytes:
        return make(rng.choice([*NAMES, "me"]), rng.randrange(6))

    role = rng.choice(list(Role))
    kinds: list[Callable[[str, int], bytes]] = [
        lambda name, incarnation: alive(name, incarnation, role, rng.randbytes(4), rng.randrange(4)),
        lambda name, incarnation: suspect(name, incarnation, rng.choice(NAMES)),
        lambda name, incarnation: dead(name, incarnation, rng.choice(NAMES)),
        left,
    ]
    return [about(rng.choice(kinds)) for _ in range(rng.randrange(4))]


def random_body(rng: random.Random) -> bytes:
    sequence, name = rng.randrange(40), rng.choice([*NAMES, "me", ""])
    return rng.choice(
        [
            GOSSIP,
            encode_ping(sequence, rng.choice(["me", name]), 0),
            encode_ack(sequence, name, None),
            encode_nack(sequence),
            encode_ping_request(sequence, name, 0.4),
        ]
    )


def random_step(puppet: Puppet, rng: random.Random) -> None:
    kind = rng.random()
    who = identity(rng.choice(NAMES), Role.MANAGER)
    if kind < 0.6:
        data = message(who, *random_updates(rng), body=random_body(rng), incarnation=rng.randrange(5))
        puppet.receive(data, who.address)
    elif kind < 0.65:
        data = message(who, *random_updates(rng), body=encode_push_pull(), incarnation=rng.randrange(5))
        puppet.node.receive_stream_request(data, who.address, puppet.now)
    elif kind < 0.95:
        puppet.run(rng.choice([0.01, 0.3, 1.0, 7.0]))
    elif kind < 0.97:
        puppet.run(rng.choice([30.0, 100.0, 200.0]))
    else:
        puppet.node.set_metadata(rng.randbytes(3), puppet.now)
    puppet.collect()
    puppet.run(0.0)


def rows(puppet: Puppet) -> dict[str, Row]:
    return {member.identity.node_id: (member.state, member.incarnation) for member in puppet.node.members()}


def assert_follows(before: Row, after: Row) -> None:
    if before == after:
        return
    assert supersedes(after[1], after[0], before[1], before[0]), "the rule of precedence"
    if after[0] is MemberState.ALIVE and before[0] is not MemberState.UNCONFIRMED:
        assert after[1] > before[1], "nobody comes back without a higher incarnation"


class Laws:
    """Checks a node after each step."""

    def __init__(self, puppet: Puppet) -> None:
        self._puppet = puppet
        self._rows = rows(puppet)
        self._confirmed: set[str] = set()

    def check(self) -> None:
        puppet = self._puppet
        forgotten = self._read_events(puppet.events)
        after = rows(puppet)
        for name in self._rows.keys() & after.keys() - forgotten:
            assert_follows(self._rows[name], after[name])
        self._rows = after
        assert len(after) <= MEMBERS_MAX + 1
        assert all(state is MemberState.ALIVE for name, (state, _) in after.items() if name == "me")
        assert all(envelope.ByteSize() <= CONFIG.payload_max_bytes for _, _, envelope in puppet.sent)
        deadline = puppet.node.next_deadline()
        assert deadline is not None
        assert deadline > puppet.now - 0.01, "time that has come is used"
        puppet.events.clear()
        puppet.sent.clear()

    def _read_events(self, events: list[Event]) -> set[str]:
        forgotten: set[str] = set()
        for event in events:
            if isinstance(event, MemberConfirmed):
                self._confirmed.add(event.member.identity.node_id)
            elif isinstance(event, MemberForgotten):
                forgotten.add(event.member.identity.node_id)
                self._confirmed.discard(event.member.identity.node_id)
            elif isinstance(event, MemberSuspected | MemberDied):
                assert event.member.identity.node_id in self._confirmed, "hearsay is never suspected nor dead"
        return forgotten


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("seed", range(20))
def test_any_sequence_of_datagrams_and_timers_keeps_the_laws(seed: int, role: Role) -> None:
    rng = random.Random(f"{seed} {role}")
    puppet = Puppet(role, CONFIG, seed=seed)
    laws = Laws(puppet)
    for _ in range(250):
        random_step(puppet, rng)
        laws.check()
