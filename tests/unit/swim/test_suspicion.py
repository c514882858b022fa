from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.swim import MemberDied, MemberState, MemberSuspected, Role, SwimConfig
from hyperscale.swim.suspicion import Suspicion, expected_confirmations, suspicion_min_seconds, suspicion_seconds
from tests.support.swim_network import identity
from tests.support.swim_puppet import Puppet, alive, dead, suspect


@pytest.mark.parametrize(
    ("confirmations", "elapsed", "remaining"), [(0, 0, 30), (1, 2, 14), (2, 3, 4.810), (3, 4, -2), (4, 5, -3)]
)
def test_the_time_left_is_that_of_the_reference(confirmations: int, elapsed: float, remaining: float) -> None:
    assert suspicion_seconds(confirmations, 3, 2, 30) - elapsed == pytest.approx(remaining, abs=1e-3)


def test_without_expected_confirmations_the_least_time_holds() -> None:
    assert suspicion_seconds(0, 0, 2, 30) == 2


@pytest.mark.parametrize(
    ("multiplier", "members", "interval", "seconds"),
    [(4, 1, 1, 4), (4, 10, 1, 4), (4, 100, 1, 8), (5, 1000, 2, 30), (4, 0, 1, 4)],
)
def test_the_least_time_grows_with_the_logarithm(
    multiplier: float, members: int, interval: float, seconds: float
) -> None:
    assert suspicion_min_seconds(multiplier, members, interval) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("multiplier", "accusers", "expected"), [(4, 3, 2), (4, 2, 0), (6, 100, 4), (2, 9, 0), (1, 9, 0)]
)
def test_confirmations_are_expected_only_when_there_are_enough_to_give_them(
    multiplier: float, accusers: int, expected: int
) -> None:
    assert expected_confirmations(multiplier, accusers) == expected


@given(st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=50), st.integers(0, 4))
def test_a_suspicion_only_ever_gets_shorter(accusers: list[str], expected: int) -> None:
    suspicion = Suspicion(10.0, 2.0, 30.0, expected, {"a"})
    deadline = suspicion.deadline
    for accuser in accusers:
        suspicion.confirm(accuser)
        assert 12.0 <= suspicion.deadline <= deadline
        deadline = suspicion.deadline
    assert len(suspicion.accusers) <= expected + 1


def suspected(accusers: int) -> Puppet:
    """A node that knows peers p0 … p9, of which p0 has just been accused by some."""
    puppet = Puppet()
    for number in range(10):
        puppet.hear(f"p{number}")
    for number in range(1, accusers + 1):
        puppet.hear(f"p{number}", suspect("p0", 1, f"p{number}"))
    return puppet


def died_after(puppet: Puppet, seconds: float) -> float:
    start = puppet.now
    while puppet.state("p0") is MemberState.SUSPECT and puppet.now < start + seconds:
        puppet.run(0.1)
    return puppet.now - start


@pytest.mark.parametrize(("accusers", "seconds"), [(1, 25.0), (2, 12.1), (3, 4.2)])
def test_independent_accusers_shorten_it(accusers: int, seconds: float) -> None:
    puppet = suspected(accusers)
    assert died_after(puppet, 60) == pytest.approx(seconds, abs=0.5)
    assert [event.member.identity.node_id for event in puppet.of(MemberDied)][:1] == ["p0"]


def test_the_same_accuser_counts_once() -> None:
    puppet = suspected(1)
    for _ in range(100):
        puppet.hear("p1", suspect("p0", 1, "p1"))
    assert died_after(puppet, 60) == pytest.approx(25.0, abs=0.5)


@pytest.mark.requirement("AD-30.1")
@pytest.mark.parametrize("accusers", [1, 3, 50])
def test_a_storm_of_confirmations_never_delays_the_end(accusers: int) -> None:
    quiet = died_after(suspected(accusers), 60)
    puppet = suspected(accusers)
    start = puppet.now
    number = 0
    while puppet.state("p0") is MemberState.SUSPECT and puppet.now < start + 60:
        for _ in range(50):
            number += 1
            puppet.hear("p1", suspect("p0", 1, f"s{number % 7}"), suspect("p0", 1 + number, f"p{number % 9 + 1}"))
        puppet.run(0.05)
    assert puppet.state("p0") is MemberState.DEAD
    assert puppet.now - start <= quiet + 0.2
    assert len([event for event in puppet.of(MemberSuspected) if event.member.identity.node_id == "p0"]) == 1


def test_plain_swim_waits_the_least_time_whoever_accuses() -> None:
    puppet = Puppet(config=SwimConfig(suspicion_confirmations=False))
    for number in range(10):
        puppet.hear(f"p{number}")
    puppet.hear("p1", suspect("p0", 1, "p1"))
    assert died_after(puppet, 60) == pytest.approx(4.2, abs=0.4)


@pytest.mark.requirement("AD-29.1")
@pytest.mark.parametrize("role", list(Role))
def test_a_peer_known_by_hearsay_is_never_suspected_nor_dead_and_only_its_own_message_confirms_it(role: Role) -> None:
    puppet = Puppet(Role.MANAGER)
    for number in range(5):
        puppet.hear(identity(f"p{number}", Role.MANAGER), alive("new", 3, role))
    puppet.node.introduce(identity("configured", role), puppet.now)
    for name, incarnation in (("new", 3), ("configured", 0)):
        for number in range(5):
            puppet.hear(identity(f"p{number}", Role.MANAGER), suspect(name, incarnation, f"p{number}"))
            puppet.hear(identity(f"p{number}", Role.MANAGER), suspect(name, incarnation + 1, f"p{number}"))
        assert puppet.state(name) is MemberState.UNCONFIRMED
    puppet.run(60)
    assert puppet.state("new") is puppet.state("configured") is MemberState.UNCONFIRMED
    puppet.hear(identity("p0", Role.MANAGER), dead("new", 3, "p0"))
    assert puppet.state("new") is None
    puppet.hear(identity("configured", role), incarnation=1)
    assert puppet.state("configured") is MemberState.ALIVE
    puppet.run(300)
    accused = {event.member.identity.node_id for event in puppet.of(MemberSuspected)}
    died = {event.member.identity.node_id for event in puppet.of(MemberDied)}
    assert "new" not in accused | died


def test_who_accuses_in_vain_is_told_of_the_refutation() -> None:
    puppet = Puppet()
    puppet.hear("p0")
    puppet.hear("p1", alive("p0", 2))
    before = len(puppet.sent)
    puppet.hear("p1", suspect("p0", 1, "p1"))
    told = [
        (update.node_id, update.incarnation, MemberState(update.state))
        for _, address, envelope in puppet.sent[before:]
        for update in envelope.updates
        if address == identity("p1").address
    ]
    assert ("p0", 2, MemberState.ALIVE) in told
    assert puppet.state("p0") is MemberState.ALIVE
