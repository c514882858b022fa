"""What is not right changes nothing, is counted by reason, and raises nothing."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from hyperscale.swim import (
    AccusationRefuted,
    InputRefused,
    Member,
    MemberState,
    NodeAddress,
    RefusalReason,
    Role,
    SwimConfig,
)
from hyperscale.swim.coordinates import Coordinate, CoordinateConfig, NetworkCoordinates
from hyperscale.swim.wire import (
    INCARNATION_MAX,
    encode_ack,
    encode_belief,
    encode_envelope,
    encode_member,
    encode_push_pull,
    encode_sender,
)
from hyperscale.v1 import swim_pb2
from tests.support.swim_network import identity
from tests.support.swim_puppet import GOSSIP, Puppet, alive, dead, left, message, suspect

FAR_AHEAD = 1 << 52
PEER = identity("p0")


def update(**fields: object) -> bytes:
    return swim_pb2.SwimEnvelope(updates=[swim_pb2.SwimUpdate(**fields)]).SerializeToString()  # type: ignore[arg-type]


def sender(**changes: object) -> bytes:
    return encode_envelope(PEER) + encode_sender(replace(PEER, **changes), 1, 0, 1.0) + GOSSIP  # type: ignore[arg-type]


BAD = {
    "empty": (b"", RefusalReason.WRONG_PROTOCOL),
    "rubbish": (b"\xff" * 40, RefusalReason.MALFORMED),
    "truncated": (message(PEER, alive("p1"))[:-3], RefusalReason.MALFORMED),
    "oversized": (message(PEER) + b"\0" * 1500, RefusalReason.OVERSIZED),
    "another protocol": (
        swim_pb2.SwimEnvelope(protocol=9, cluster_id="c", environment_id="e").SerializeToString(),
        RefusalReason.WRONG_PROTOCOL,
    ),
    "another cluster": (message(identity("p9", cluster="other")), RefusalReason.WRONG_CLUSTER),
    "another environment": (message(identity("p9", environment="other")), RefusalReason.WRONG_ENVIRONMENT),
    "no body": (message(PEER, body=b""), RefusalReason.MALFORMED),
    "a table in a datagram": (message(PEER, body=encode_push_pull()), RefusalReason.MALFORMED),
    "no sender": (encode_envelope(PEER) + GOSSIP, RefusalReason.BAD_IDENTITY),
    "this node's id": (message(identity("me")), RefusalReason.OWN_ID),
    "an overlong id": (sender(node_id="x" * 129), RefusalReason.BAD_IDENTITY),
    "no host": (sender(node_id="p9", address=NodeAddress("", 1)), RefusalReason.BAD_IDENTITY),
    "no port": (sender(node_id="p9", address=NodeAddress("h", 0)), RefusalReason.BAD_IDENTITY),
    "no such port": (sender(node_id="p9", address=NodeAddress("h", 70_000)), RefusalReason.BAD_IDENTITY),
    "a sender from the future": (
        message(identity("p9"), incarnation=INCARNATION_MAX + 1),
        RefusalReason.FUTURE_INCARNATION,
    ),
    "a known sender from the future": (message(PEER, incarnation=FAR_AHEAD), RefusalReason.FUTURE_INCARNATION),
    "a twin": (message(replace(PEER, address=NodeAddress("elsewhere.test", 1))), RefusalReason.TWIN),
    "no id": (message(PEER, update(state=2, incarnation=1)), RefusalReason.BAD_UPDATE),
    "no state": (message(PEER, update(node_id="p1", incarnation=9)), RefusalReason.BAD_UPDATE),
    "no such state": (message(PEER, update(node_id="p1", state=77, incarnation=9)), RefusalReason.BAD_UPDATE),
    "unconfirmed by hearsay": (message(PEER, update(node_id="p1", state=1, incarnation=9)), RefusalReason.BAD_UPDATE),
    "alive but nowhere": (message(PEER, update(node_id="q", state=2, incarnation=1)), RefusalReason.BAD_IDENTITY),
    "nobody accuses": (message(PEER, update(node_id="p1", state=3, incarnation=9)), RefusalReason.BAD_UPDATE),
    "dead in the future": (message(PEER, dead("p1", FAR_AHEAD, "p0")), RefusalReason.FUTURE_INCARNATION),
    "this node dead in the future": (message(PEER, dead("me", FAR_AHEAD, "p0")), RefusalReason.FUTURE_INCARNATION),
    "overlong metadata": (
        message(PEER, alive("q", 1, metadata=b"x" * 513, version=1)),
        RefusalReason.OVERLONG_METADATA,
    ),
    "metadata from the future": (
        message(PEER, alive("p1", 1, metadata=b"x", version=FAR_AHEAD)),
        RefusalReason.FUTURE_INCARNATION,
    ),
}


def known(role: Role = Role.GATE) -> Puppet:
    coordinates = NetworkCoordinates(CoordinateConfig(), random.Random(1))
    puppet = Puppet(role, SwimConfig(stream_probe=False), coordinates=coordinates)
    puppet.hear("p0", incarnation=1)
    puppet.hear("p1", incarnation=1)
    puppet.run(0.5)
    puppet.sent.clear()
    puppet.events.clear()
    return puppet


def beliefs(puppet: Puppet) -> list[Member]:
    return puppet.node.members()


@pytest.mark.parametrize("name", BAD)
def test_it_changes_nothing_and_is_counted(name: str) -> None:
    data, reason = BAD[name]
    puppet = known()
    before = beliefs(puppet)
    puppet.receive(data, PEER.address)
    assert beliefs(puppet) == before
    assert puppet.node.counters().refused == {reason: 1}
    (event,) = puppet.of(InputRefused)
    assert (event.reason, event.source) == (reason, PEER.address)


def test_a_flood_is_counted_and_told_once_a_minute() -> None:
    puppet = known()
    for _ in range(1000):
        puppet.receive(b"\xff" * 40, PEER.address)
    assert puppet.node.counters().refused[RefusalReason.MALFORMED] == 1000
    assert len(puppet.of(InputRefused)) == 1
    puppet.run(61)
    puppet.receive(b"\xff" * 40, PEER.address)
    assert len(puppet.of(InputRefused)) == 2


def test_a_refused_cluster_is_told_so_once_and_not_for_each_datagram() -> None:
    puppet = known()
    for _ in range(100):
        puppet.receive(message(identity("p9", cluster="other")), identity("p9").address)
    assert len(puppet.bodies("refusal", "p9")) == 1


def test_a_refusal_is_never_answered_so_that_two_nodes_do_not_refuse_each_other_for_ever() -> None:
    puppet = known()
    refusal = swim_pb2.SwimEnvelope(
        protocol=1,
        cluster_id="other",
        environment_id="e",
        refusal=swim_pb2.SwimRefusal(reason=swim_pb2.SWIM_REFUSAL_REASON_WRONG_CLUSTER),
    )
    puppet.receive(refusal.SerializeToString(), PEER.address)
    assert puppet.node.counters().refused == {RefusalReason.REFUSED_BY_PEER: 1}
    assert not puppet.sent


@pytest.mark.parametrize(
    "accusation", [suspect("me", 5, "p0"), dead("me", 5, "me"), left("me", 5)], ids=["suspect", "dead", "left"]
)
def test_an_accusation_of_this_node_is_refuted_at_once(accusation: bytes) -> None:
    puppet = known()
    puppet.hear("p0", accusation)
    assert puppet.state("me") is MemberState.ALIVE
    assert puppet.node.incarnation == 6
    assert [event.incarnation for event in puppet.of(AccusationRefuted)] == [6]
    puppet.run(0.5)
    news = [item for _, envelope in puppet.bodies("gossip") for item in envelope.updates if item.node_id == "me"]
    assert {(item.state, item.incarnation) for item in news} == {(swim_pb2.SWIM_STATE_ALIVE, 6)}


def test_a_leave_nobody_announced_is_counted() -> None:
    puppet = known()
    puppet.hear("p0", left("me", 1))
    assert puppet.node.counters().refused == {RefusalReason.FALSE_LEAVE: 1}
    assert puppet.state("me") is MemberState.ALIVE


def test_old_accusations_are_ignored() -> None:
    puppet = known()
    puppet.hear("p0", dead("me", 0, "p0"), dead("p1", 0, "p0"))
    assert puppet.node.incarnation == 1
    assert puppet.state("p1") is MemberState.ALIVE
    assert not puppet.node.counters().refused


def test_a_node_that_leaves_refutes_nothing() -> None:
    puppet = known()
    puppet.node.leave(puppet.now)
    puppet.hear("p0", dead("me", 7, "p0"))
    assert puppet.state("me") is MemberState.LEFT
    assert puppet.node.incarnation == 1


@pytest.mark.parametrize(
    "coordinate",
    [
        Coordinate((0.0,) * 7, 0.0, 1.0),
        Coordinate((float("nan"),) * 8, 0.0, 1.0),
        Coordinate((float("inf"),) * 8, 0.0, 1.0),
        Coordinate((0.0,) * 8, -1.0, 1.0),
        Coordinate((1e9,) * 8, 0.0, 1.0),
    ],
)
def test_a_bad_coordinate_is_refused_and_the_answer_still_counts(coordinate: Coordinate) -> None:
    puppet = known()
    while not puppet.bodies("ping"):
        puppet.run(0.01)
    ping = puppet.bodies("ping")[0][1].ping
    own = puppet.node.members()[0].coordinate
    puppet.hear(ping.target_id, body=encode_ack(ping.sequence, "", coordinate))
    puppet.run(0.9)
    assert puppet.node.counters().refused == {RefusalReason.BAD_COORDINATE: 1}
    assert puppet.node.members()[0].coordinate == own
    assert puppet.node.counters().probes_failed == 0


def stream_request(puppet: Puppet, data: bytes) -> bytes:
    return puppet.node.receive_stream_request(data, PEER.address, puppet.now)


@pytest.mark.parametrize(
    ("data", "reason", "is_told"),
    [
        (b"\xff" * 40, RefusalReason.MALFORMED, False),
        (b"\0" * (9 * 1024 * 1024), RefusalReason.OVERSIZED, False),
        (message(identity("p9", cluster="other"), body=encode_push_pull()), RefusalReason.WRONG_CLUSTER, True),
        (message(identity("p9", environment="x"), body=encode_push_pull()), RefusalReason.WRONG_ENVIRONMENT, True),
        (message(PEER), RefusalReason.MALFORMED, False),
        (message(identity("me"), body=encode_push_pull()), RefusalReason.OWN_ID, False),
    ],
)
def test_bad_requests_over_streams_are_refused(data: bytes, reason: RefusalReason, is_told: bool) -> None:
    puppet = known()
    before = beliefs(puppet)
    answer = stream_request(puppet, data)
    assert puppet.node.counters().refused == {reason: 1}
    assert swim_pb2.SwimEnvelope.FromString(answer).HasField("refusal") is is_told
    assert beliefs(puppet) == before


def test_a_dead_member_of_a_table_is_only_suspect_and_one_never_heard_of_stays_unknown() -> None:
    puppet = known()
    stranger = encode_member(identity("stranger"), MemberState.DEAD, 1, (b"", 0))
    died = encode_member(identity("p1"), MemberState.DEAD, 1, (b"", 0))
    answer = stream_request(puppet, message(PEER, stranger, died, body=encode_push_pull()))
    assert puppet.state("p1") is MemberState.SUSPECT
    assert puppet.state("stranger") is None
    table = swim_pb2.SwimEnvelope.FromString(answer)
    assert {item.node_id for item in table.updates} == {"me", "p0", "p1"}


def test_answers_nobody_waits_for_are_ignored() -> None:
    puppet = known()
    before = beliefs(puppet)
    puppet.node.receive_stream_reply(999, message(PEER, alive("q"), body=encode_push_pull()), puppet.now)
    puppet.node.stream_failed(999, puppet.now)
    puppet.hear("p0", body=encode_ack(123_456, "", None))
    assert beliefs(puppet) == before
    assert not puppet.node.counters().refused


def test_spoofed_belief_about_somebody_else_can_be_refuted_by_it() -> None:
    puppet = known()
    puppet.hear("p0", encode_belief("p1", MemberState.LEFT, 1, ""))
    assert puppet.state("p1") is MemberState.LEFT
    puppet.hear("p1", incarnation=2)
    assert puppet.state("p1") is MemberState.ALIVE
