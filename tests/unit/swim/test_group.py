"""A group of nodes as its owners see it."""

from __future__ import annotations

import pytest

from hyperscale.swim import (
    AccusationRefuted,
    MemberDied,
    MemberLeft,
    MemberMoved,
    MemberRecovered,
    MemberState,
    MemberSuspected,
    MetadataChanged,
    NodeAddress,
    Role,
)
from tests.support.swim_network import Network, identity


def others(names: list[str], name: str) -> list[str]:
    return [other for other in names if other != name]


def all_see_all(network: Network, names: list[str]) -> bool:
    return all(network.sees(name, others(names, name)) for name in names)


def test_nodes_that_know_one_seed_find_each_other() -> None:
    network = Network()
    names = network.group(12)
    assert all_see_all(network, names)


def test_an_idle_group_sends_one_probe_and_one_answer_per_node_and_interval() -> None:
    network = Network()
    names = network.group(20)
    network.run(30)
    before = sum(network.sent.values())
    network.run(60)
    assert (sum(network.sent.values()) - before) / len(names) / 60 == pytest.approx(2.0, abs=0.1)


@pytest.mark.requirement("AD-31.1")
def test_death_and_leave_fire_once_whether_found_out_or_learnt_by_gossip() -> None:
    network = Network()
    names = network.group(10)
    for name in names:
        network.events[name].clear()
    network.crash("n8")
    network.nodes["n9"].leave(network.now)
    network.touched("n9")
    assert network.run_until(lambda: network.nodes["n9"].has_left, 10)
    network.crash("n9")
    rest = names[:8]
    assert network.run_until(lambda: all(network.sees(name, ["n8"], MemberState.DEAD) for name in rest), 30)
    network.run(60)
    for name in rest:
        assert network.sees(name, ["n9"], MemberState.LEFT)
        assert [event.member.identity.node_id for event in network.of(name, MemberDied)] == ["n8"]
        assert [event.member.identity.node_id for event in network.of(name, MemberLeft)] == ["n9"]
    found_out = {event.accuser_id for name in rest for event in network.of(name, MemberDied)}
    assert len(found_out) < len(rest), "some learnt it by gossip"


def test_both_sides_of_a_partition_merge_by_themselves_within_a_minute() -> None:
    network = Network()
    names = network.group(12)
    left, right = names[:4], names[4:]
    network.cut(left, right)
    assert network.run_until(
        lambda: (
            all(network.sees(name, right, MemberState.DEAD) for name in left)
            and all(network.sees(name, left, MemberState.DEAD) for name in right)
        ),
        90,
    )
    network.run(60)
    network.heal()
    assert network.run_until(lambda: all_see_all(network, names), 60)
    assert network.of("n0", MemberRecovered)


def test_a_partition_from_before_the_first_contact_merges_too() -> None:
    network = Network()
    network.cut(["a", "b"], ["c", "d"])
    network.add("a", seeds=["c"])
    network.add("b", seeds=["a"])
    network.add("c", seeds=["a"])
    network.add("d", seeds=["c"])
    network.run(30)
    network.heal()
    assert network.run_until(lambda: all_see_all(network, ["a", "b", "c", "d"]), 60)


@pytest.mark.parametrize("incarnation", [0, 1, 500])
def test_a_node_that_restarts_is_back_under_its_id_whatever_its_incarnation(incarnation: int) -> None:
    network = Network()
    names = network.group(5)
    network.crash("n4")
    network.run_until(lambda: all(network.sees(name, ["n4"], MemberState.DEAD) for name in names[:4]), 60)
    network.add("n4", seeds=["n0"], incarnation=incarnation)
    assert network.run_until(lambda: all_see_all(network, names), 30)


@pytest.mark.parametrize("incarnation", [0, 1, 500])
def test_a_node_that_restarts_before_anybody_noticed_is_never_lost(incarnation: int) -> None:
    network = Network()
    names = network.group(5)
    network.crash("n4")
    network.add("n4", seeds=["n0"], incarnation=incarnation)
    network.run(60)
    assert all_see_all(network, names)
    assert not any(network.of(name, MemberDied) for name in names)


@pytest.mark.parametrize("incarnation", [1, 500])
def test_a_node_may_come_back_at_another_address(incarnation: int) -> None:
    network = Network()
    names = network.group(5)
    network.crash("n4")
    moved = identity("n4").__class__("n4", Role.GATE, NodeAddress("m4.test", 7000), "c", "e", "dc")
    network.put(moved, seeds=["n0"], incarnation=incarnation)

    def is_known() -> bool:
        members = [network.nodes[name].member("n4") for name in names[:4]]
        return all(member is not None and member.identity.address.host == "m4.test" for member in members)

    assert network.run_until(is_known, 30)
    network.run(30)
    assert is_known()
    assert all(network.sees(name, ["n4"]) for name in names[:4])
    assert network.of("n0", MemberMoved)


def test_a_node_that_left_can_come_back() -> None:
    network = Network()
    names = network.group(4)
    network.nodes["n3"].leave(network.now)
    network.touched("n3")
    network.run(5)
    network.crash("n3")
    assert network.sees("n0", ["n3"], MemberState.LEFT)
    network.add("n3", seeds=["n0"], incarnation=1)
    assert network.run_until(lambda: all_see_all(network, names), 30)


def test_who_is_silent_for_a_while_refutes_and_lives() -> None:
    network = Network()
    names = network.group(10)
    network.cut(["n9"], names[:9])
    assert network.run_until(lambda: bool(network.of("n0", MemberSuspected)), 20)
    network.heal()
    assert network.run_until(lambda: all_see_all(network, names), 30)
    assert network.of("n9", AccusationRefuted)
    assert not any(network.of(name, MemberDied) for name in names[:9])


def test_what_a_node_says_of_itself_reaches_all_and_the_newest_wins() -> None:
    network = Network()
    names = network.group(8)
    for content in (b"first", b"second", b"x" * 512):
        network.nodes["n3"].set_metadata(content, network.now)
        network.touched("n3")
    network.run(5)
    for name in others(names, "n3"):
        member = network.nodes[name].member("n3")
        assert member is not None
        assert member.metadata == b"x" * 512
        assert network.of(name, MetadataChanged)
    with pytest.raises(ValueError, match="513"):
        network.nodes["n3"].set_metadata(b"x" * 513, network.now)


def test_metadata_of_a_restarted_node_replaces_that_of_its_earlier_life() -> None:
    network = Network()
    network.group(4)
    for number in range(5):
        network.nodes["n3"].set_metadata(b"old %d" % number, network.now)
        network.touched("n3")
        network.run(1)
    network.crash("n3")
    network.add("n3", seeds=["n0"], incarnation=2).set_metadata(b"new", network.now)
    network.run(10)
    member = network.nodes["n1"].member("n3")
    assert member is not None
    assert member.metadata == b"new"
