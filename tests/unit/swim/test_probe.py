from __future__ import annotations

from dataclasses import replace

import pytest

from hyperscale.swim import MemberDied, MemberState, MemberSuspected, NodeAddress, RefusalReason, Role, SwimConfig
from hyperscale.swim.awareness import Awareness
from hyperscale.swim.coordinates import Coordinate
from hyperscale.swim.probe import probes_per_interval
from hyperscale.swim.wire import encode_ack, encode_nack, encode_ping, encode_ping_request
from tests.support.swim_network import Network, identity
from tests.support.swim_puppet import Puppet, alive, message, suspect

NO_STREAMS = SwimConfig(stream_probe=False)


@pytest.mark.parametrize(
    ("role", "leaders", "workers", "pace"),
    [
        (Role.GATE, 1, 0, 0.1),
        (Role.GATE, 2, 0, 1.0),
        (Role.GATE, 100, 0, 1.0),
        (Role.MANAGER, 3, 0, 1.0),
        (Role.MANAGER, 1, 1, 1.0),
        (Role.MANAGER, 3, 9, 2 / 11 + 3.0),
        (Role.MANAGER, 1, 1000, 16.0),
        (Role.WORKER, 3, 997, 0.1),
        (Role.WORKER, 1, 1, 1.0),
        (Role.WORKER, 3, 3, 0.6),
    ],
)
def test_each_member_is_probed_about_once_per_interval(role: Role, leaders: int, workers: int, pace: float) -> None:
    assert probes_per_interval(role, leaders, workers, 16) == pytest.approx(pace)


@pytest.mark.parametrize(
    ("moves", "score"),
    [
        ([], 0),
        (["ok"], 0),
        (["failed 0 0"], 1),
        (["failed 3 3"], 0),
        (["failed 3 1"], 2),
        (["failed 3 0", "failed 3 0", "failed 3 0"], 7),
        (["refuted", "refuted", "ok"], 1),
    ],
)
def test_health_follows_probes_nacks_and_refutations(moves: list[str], score: int) -> None:
    awareness = Awareness(8)
    for move in moves:
        what, *numbers = move.split()
        if what == "ok":
            awareness.probe_succeeded()
        elif what == "refuted":
            awareness.refuted()
        else:
            awareness.probe_failed(*map(int, numbers))
    assert awareness.score == score
    assert awareness.multiplier == score + 1


def probing(config: SwimConfig = NO_STREAMS, peers: int = 4) -> tuple[Puppet, str, int, float]:
    """A node that has just probed one of its peers; returns which, under which sequence, and when."""
    puppet = Puppet(config=config)
    for number in range(peers):
        puppet.hear(f"p{number}")
    puppet.sent.clear()
    while not puppet.bodies("ping"):
        puppet.run(0.01)
    when, envelope = puppet.bodies("ping")[0]
    return puppet, envelope.ping.target_id, envelope.ping.sequence, when


def test_without_an_answer_helpers_are_asked_and_then_the_target_is_suspect() -> None:
    puppet, target, _, when = probing()
    puppet.run(0.52)
    asked = puppet.bodies("ping_request")
    assert len(asked) == 3
    assert all(moment == pytest.approx(when + 0.4, abs=0.02) for moment, _ in asked)
    assert {envelope.ping_request.target_id for _, envelope in asked} == {target}
    assert {envelope.ping_request.nack_after_ms for _, envelope in asked} == {320}
    assert puppet.state(target) is MemberState.ALIVE
    puppet.run(0.5)
    assert puppet.state(target) is MemberState.SUSPECT
    assert puppet.node.health_score == 3, "no helper said anything: the doubt is about this node"


def test_helpers_that_got_no_answer_either_clear_this_node() -> None:
    puppet, target, sequence, _ = probing()
    puppet.run(0.52)
    for number in range(4):
        if f"p{number}" != target:
            puppet.hear(f"p{number}", body=encode_nack(sequence))
    puppet.run(0.5)
    assert puppet.state(target) is MemberState.SUSPECT
    assert puppet.node.health_score == 0


@pytest.mark.parametrize("after", [0.1, 0.6, 0.95])
def test_an_answer_at_any_time_of_the_interval_saves_the_target(after: float) -> None:
    puppet, target, sequence, _ = probing()
    puppet.run(after)
    puppet.hear(target, body=encode_ack(sequence, "", None))
    puppet.run(0.5)
    assert puppet.state(target) is MemberState.ALIVE


def test_an_answer_through_a_helper_saves_the_target() -> None:
    puppet, target, sequence, _ = probing()
    puppet.run(0.6)
    asked = next(address.host.removesuffix(".test") for _, address, e in puppet.sent if e.HasField("ping_request"))
    puppet.hear(asked, body=encode_ack(sequence, target, None))
    puppet.run(0.5)
    assert puppet.state(target) is MemberState.ALIVE


def test_an_answer_from_somebody_who_was_not_asked_counts_for_nothing() -> None:
    puppet, target, sequence, _ = probing()
    other = "p0" if target != "p0" else "p1"
    puppet.hear(other, body=encode_ack(sequence, "", None))
    puppet.hear(other, body=encode_ack(sequence, target, None))
    assert puppet.node.counters().refused[RefusalReason.FALSE_ACK] == 2
    puppet.run(1.1)
    assert puppet.state(target) is MemberState.SUSPECT


def test_a_helper_asks_the_target_passes_its_answer_on_and_says_when_there_is_none() -> None:
    puppet = Puppet()
    for name in ("asker", "target"):
        puppet.hear(name)
    start = puppet.now
    puppet.hear("asker", body=encode_ping_request(77, "target", 0.4))
    sequence = puppet.bodies("ping", "target")[-1][1].ping.sequence
    puppet.run(0.39)
    assert not puppet.bodies("nack")
    puppet.run(0.02)
    ((when, nack),) = puppet.bodies("nack", "asker")
    assert nack.nack.sequence == 77
    assert when == pytest.approx(start + 0.4, abs=0.01)
    puppet.hear("target", body=encode_ack(sequence, "", Coordinate((0.0,) * 8, 0.0, 1.0)))
    ((_, ack),) = puppet.bodies("ack", "asker")
    assert (ack.ack.sequence, ack.ack.target_id) == (77, "target")


def test_a_helper_pings_members_only() -> None:
    puppet = Puppet()
    puppet.hear("asker", body=encode_ping_request(77, "stranger", 0.4))
    assert not puppet.bodies("ping", "stranger")
    assert puppet.node.counters().refused[RefusalReason.WRONG_TARGET] == 1


def test_probes_for_others_are_bounded() -> None:
    puppet = Puppet(config=SwimConfig(relays_max=5))
    for name in ("asker", "target"):
        puppet.hear(name)
    puppet.sent.clear()
    for _ in range(20):
        puppet.hear("asker", body=encode_ping_request(77, "target", 0.4))
    assert len(puppet.bodies("ping", "target")) == 5
    assert sum(puppet.node.counters().overflowed.values()) == 15


def test_a_ping_for_another_node_is_not_answered() -> None:
    puppet = Puppet()
    puppet.hear("p0", body=encode_ping(5, "who-was-here-before", 0))
    assert not puppet.bodies("ack")
    assert puppet.node.counters().refused[RefusalReason.WRONG_TARGET] == 1


@pytest.mark.parametrize("buddy", [True, False])
def test_a_suspect_is_told_with_the_next_ping_so_that_it_can_refute(buddy: bool) -> None:
    puppet = Puppet(config=replace(NO_STREAMS, buddy=buddy, gossip_nodes=1, gossip_interval_seconds=1e6))
    puppet.hear("p0")
    puppet.hear("p1", suspect("p0", 1, "p1"))
    for _ in range(20):
        puppet.pinged_by("p1")  # Whatever there is to say has been said.
    puppet.sent.clear()
    puppet.run(2.5)
    pings = puppet.bodies("ping", "p0")
    told = [update.state for _, ping in pings for update in ping.updates if update.node_id == "p0"]
    assert bool(told) is buddy
    puppet.sent.clear()
    puppet.pinged_by("p0")
    answered = [update.node_id for _, ack in puppet.bodies("ack", "p0") for update in ack.updates]
    assert ("p0" in answered) is buddy


def test_lost_udp_alone_kills_nobody_when_streams_get_through() -> None:
    network = Network()
    names = network.group(4)
    deaf = {"n3"}
    network.delivers_datagrams = lambda sender, receiver: sender not in deaf and receiver not in deaf
    network.run(60)
    assert all(network.sees(name, [other for other in names if other != name]) for name in names)
    assert not any(network.of(name, MemberSuspected) for name in names)
    assert network.nodes["n0"].counters().probes_saved_by_stream > 0


def test_who_cannot_be_reached_by_some_only_is_saved_by_helpers() -> None:
    network = Network(NO_STREAMS)
    names = network.group(6)
    network.delivers = lambda sender, receiver: {sender, receiver} != {"n0", "n5"}
    network.run(120)
    assert not any(network.of(name, MemberDied) for name in names)
    assert network.sees("n0", ["n5"])


@pytest.mark.requirement("AD-35.4")
def test_gates_and_managers_are_asked_for_confirmation_and_workers_never() -> None:
    puppet = Puppet(Role.MANAGER, NO_STREAMS)
    for name, role in (("gate", Role.GATE), ("manager", Role.MANAGER), ("worker", Role.WORKER)):
        puppet.node.introduce(identity(name, role), puppet.now)
    puppet.run(89)
    assert puppet.state("gate") is puppet.state("manager") is puppet.state("worker") is MemberState.UNCONFIRMED
    puppet.run(2)
    assert puppet.state("manager") is None
    puppet.run(28)
    assert puppet.state("gate") is MemberState.UNCONFIRMED
    puppet.run(2)
    assert puppet.state("gate") is None
    puppet.run(58)
    assert puppet.state("worker") is MemberState.UNCONFIRMED
    puppet.run(2)
    assert puppet.state("worker") is None
    assert len(puppet.bodies("ping", "gate")) == 5
    assert len(puppet.bodies("ping", "manager")) == 3
    assert len(puppet.bodies("ping", "worker")) == 0


def test_who_was_never_heard_from_is_not_brought_back_by_the_same_old_news() -> None:
    puppet = Puppet()
    puppet.hear("p0", alive("ghost", 4))
    puppet.run(121)
    puppet.hear("p0", alive("ghost", 4))
    assert puppet.state("ghost") is None
    puppet.hear("p0", alive("ghost", 5))
    assert puppet.state("ghost") is MemberState.UNCONFIRMED
    puppet.run(121)
    puppet.hear("ghost", incarnation=4)
    assert puppet.state("ghost") is MemberState.ALIVE


def test_workers_are_probed_by_managers_only_and_their_death_is_still_noticed() -> None:
    network = Network(NO_STREAMS)
    managers, workers = ["m0", "m1"], [f"w{number}" for number in range(6)]
    for name in managers:
        network.add(name, Role.MANAGER, seeds=["m0"])
    for name in workers:
        network.add(name, Role.WORKER, seeds=["m0"])
    everybody = managers + workers
    assert network.run_until(
        lambda: all(network.sees(name, [other for other in everybody if other != name]) for name in managers), 30
    )
    assert network.run_until(lambda: all(network.sees(name, managers) for name in workers), 60)
    network.crash("w5")
    assert network.run_until(lambda: all(network.sees(name, ["w5"], MemberState.DEAD) for name in managers), 20)
    network.crash("m1")
    rest = [name for name in everybody if name not in ("w5", "m1")]
    assert network.run_until(
        lambda: all(network.sees(name, ["m1"], MemberState.DEAD) for name in rest if name != "m1"), 60
    )
    worker = Puppet(Role.WORKER, NO_STREAMS)
    worker.hear(identity("m0", Role.MANAGER))
    worker.hear(identity("w0", Role.WORKER))
    worker.run(30)
    assert worker.bodies("ping", "m0")
    assert not worker.bodies("ping", "w0")
    worker.hear(identity("m0", Role.MANAGER), body=encode_ping_request(9, "w0", 0.4))
    assert not worker.bodies("ping", "w0")


def test_an_answer_goes_to_where_the_question_came_from() -> None:
    puppet = Puppet()
    who = identity("p0")
    puppet.receive(message(who, body=encode_ping(7, "me", 0)), NodeAddress("behind-nat.test", 999))
    assert puppet.sent[-1][1] == NodeAddress("behind-nat.test", 999)
