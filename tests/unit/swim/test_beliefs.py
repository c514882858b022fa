"""The table of members: which belief wins, and how much room beliefs take."""

from __future__ import annotations

import itertools
import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperscale.swim import MemberForgotten, MemberState, MetadataChanged, Overflow, Role, SwimConfig
from hyperscale.swim.members import supersedes
from tests.support.swim_network import identity
from tests.support.swim_puppet import Puppet, alive, dead, left, message, suspect

STATES = [MemberState.UNCONFIRMED, MemberState.ALIVE, MemberState.SUSPECT, MemberState.DEAD, MemberState.LEFT]


def belief(name: str, state: MemberState, incarnation: int) -> bytes:
    if state is MemberState.ALIVE:
        return alive(name, incarnation)
    if state is MemberState.LEFT:
        return left(name, incarnation)
    return (suspect if state is MemberState.SUSPECT else dead)(name, incarnation, "p1")


@pytest.mark.parametrize(("first", "second"), list(itertools.product(STATES, STATES)))
def test_with_equal_incarnations_the_graver_state_wins_and_a_higher_incarnation_beats_all(
    first: MemberState, second: MemberState
) -> None:
    assert supersedes(5, first, 5, second) is (STATES.index(first) > STATES.index(second))
    assert supersedes(6, first, 5, second)
    assert not supersedes(4, first, 5, second)


@pytest.mark.requirement("AD-46.1")
@pytest.mark.parametrize(("known", "heard"), list(itertools.product(STATES[1:], STATES[1:])))
@pytest.mark.parametrize("incarnation", [4, 5, 6])
def test_the_one_table_follows_incarnation_then_state(known: MemberState, heard: MemberState, incarnation: int) -> None:
    puppet = Puppet()
    puppet.hear("x", incarnation=5)
    puppet.hear("p1", belief("x", known, 5))
    assert puppet.state("x") is known
    puppet.hear("p1", belief("x", heard, incarnation))
    wins = supersedes(incarnation, heard, 5, known)
    member = puppet.node.member("x")
    assert member is not None
    assert (member.state, member.incarnation) == ((heard, incarnation) if wins else (known, 5))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["x", "y"]), st.sampled_from(STATES[1:]), st.integers(1, 4)), max_size=12),
    st.integers(0, 1000),
)
def test_in_whatever_order_news_comes_the_end_is_the_same(news: list[tuple[str, MemberState, int]], seed: int) -> None:
    def end(order: list[tuple[str, MemberState, int]]) -> list[tuple[MemberState, int] | None]:
        puppet = Puppet()
        for name in ("x", "y"):
            puppet.hear(name, incarnation=1)
        for name, state, incarnation in order:
            puppet.hear("p1", belief(name, state, incarnation))
        members = [puppet.node.member(name) for name in ("x", "y")]
        return [None if member is None else (member.state, member.incarnation) for member in members]

    shuffled = list(news)
    random.Random(seed).shuffle(shuffled)
    assert end(news) == end(shuffled)


def memory_of(members: int, rounds: int) -> int:
    tracemalloc.start()
    puppet = Puppet(config=SwimConfig(gossip_interval_seconds=1e6))
    for number, _ in itertools.product(range(members), range(rounds)):
        puppet.hear(f"p{number}", suspect(f"p{(number * 7) % members}", 1, f"p{number}"))
        puppet.sent.clear()
        puppet.events.clear()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size


@pytest.mark.requirement("AD-46.1")
def test_memory_grows_with_members_and_not_with_messages() -> None:
    memory_of(50, 1)
    few, many, often = memory_of(100, 1), memory_of(400, 1), memory_of(100, 10)
    assert often < 1.3 * few
    assert many < 4.5 * few
    assert many / 400 < 6_000


def test_a_full_table_refuses_newcomers_and_counts_them() -> None:
    puppet = Puppet(config=SwimConfig(members_max=3))
    for number in range(5):
        puppet.hear(f"p{number}")
    assert len(puppet.node.members()) == 1 + 3
    assert puppet.node.counters().overflowed[Overflow.MEMBERS] == 2


def test_the_gone_make_room_for_anybody_and_hearsay_for_who_speaks() -> None:
    puppet = Puppet(config=SwimConfig(members_max=3))
    for name in ("p0", "p1"):
        puppet.hear(name)
    puppet.hear("p0", alive("hearsay"))
    puppet.hear("p0", alive("more-hearsay"))
    assert puppet.state("more-hearsay") is None
    puppet.hear("p2")
    assert (puppet.state("hearsay"), puppet.state("p2")) == (None, MemberState.ALIVE)
    puppet.hear("p0", dead("p1", 1, "p0"))
    puppet.hear("p0", alive("hearsay", 2))
    assert (puppet.state("p1"), puppet.state("hearsay")) == (None, MemberState.UNCONFIRMED)
    assert {event.member.identity.node_id for event in puppet.of(MemberForgotten)} == {"hearsay", "p1"}


def test_the_dead_are_remembered_for_a_day_and_who_left_for_an_hour() -> None:
    puppet = Puppet()
    for name in ("p0", "p1", "p2"):
        puppet.hear(name)
    puppet.hear("p0", dead("p1", 1, "p0"), left("p2", 1))
    puppet.run(3_590)
    assert (puppet.state("p1"), puppet.state("p2")) == (MemberState.DEAD, MemberState.LEFT)
    puppet.run(20)
    assert (puppet.state("p1"), puppet.state("p2")) == (MemberState.DEAD, None)
    puppet.run(86_400)
    assert puppet.state("p1") is None


def test_events_nobody_takes_are_bounded() -> None:
    puppet = Puppet(config=SwimConfig(events_max=4))
    who = identity("p0")
    for number in range(5):
        other = identity(f"q{number}")
        puppet.node.receive_datagram(message(other), who.address, puppet.now)
    assert len(puppet.node.events()) == 4
    assert puppet.node.counters().overflowed[Overflow.EVENTS] == 6


def test_news_that_is_not_sent_is_bounded() -> None:
    puppet = Puppet(config=SwimConfig(updates_max=10, gossip_interval_seconds=1e6))
    puppet.hear("p0", *(alive(f"q{number}", role=Role.WORKER) for number in range(9)))
    puppet.hear("p0", *(alive(f"r{number}", role=Role.WORKER) for number in range(9)))
    assert puppet.node.counters().overflowed[Overflow.UPDATES] == 9


def test_metadata_is_newest_by_its_version_whatever_the_state() -> None:
    puppet = Puppet()
    puppet.hear("p0", alive("p1", 1, metadata=b"two", version=2))
    puppet.hear("p1")
    puppet.hear("p0", alive("p1", 1, metadata=b"one", version=1))
    member = puppet.node.member("p1")
    assert member is not None
    assert (member.metadata, member.metadata_version) == (b"two", 2)
    puppet.hear("p0", suspect("p1", 1, "p0"))
    puppet.hear("p0", alive("p1", 1, metadata=b"three", version=3))
    member = puppet.node.member("p1")
    assert member is not None
    assert (member.metadata, member.state) == (b"three", MemberState.SUSPECT)
    assert len(puppet.of(MetadataChanged)) == 2
