from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.swim.keyring import DatagramSeal, Keyring, KeyringError, SealIdentity
from hyperscale.swim.replay import ReplayVerdict, ReplayWindow
from hyperscale.swim.seal import SealRefusal

OLD, NEW, OTHER = bytes(range(32)), bytes(range(1, 33)), bytes(range(2, 34))


def seal_of(
    *keys: bytes, node: str = "a", cluster: str = "main", environment: str = "test", session: int = 1, seed: int = 0
) -> DatagramSeal:
    identity = SealIdentity(cluster, environment, node, session)
    return DatagramSeal(Keyring(*(keys or (OLD,))), identity, random.Random(f"{node}{session}{seed}").randbytes)


def opened(receiver: DatagramSeal, data: bytes) -> bytes | None:
    found = receiver.open(data)
    return None if isinstance(found, SealRefusal) else found


@pytest.mark.requirement("SEC.2")
def test_what_is_sealed_cannot_be_read_and_is_opened_by_a_peer() -> None:
    sender, receiver = seal_of(node="a"), seal_of(node="b")
    sealed = sender.seal(b"alive and well")
    assert b"alive" not in sealed
    assert len(sealed) == len(b"alive and well") + sender.overhead_bytes
    assert opened(receiver, sealed) == b"alive and well"
    assert not receiver.refusals


@pytest.mark.requirement("SEC.2")
def test_keys_rotate_without_a_datagram_lost() -> None:
    rings = [Keyring(OLD) for _ in range(3)]
    seals = [
        DatagramSeal(ring, SealIdentity("main", "test", f"n{i}", 1), random.Random(i).randbytes)
        for i, ring in enumerate(rings)
    ]

    def all_hear_all() -> bool:
        return all(opened(seals[j], seals[i].seal(b"x")) == b"x" for i in range(3) for j in range(3) if i != j)

    steps: list[tuple[Callable[[Keyring, bytes], None], bytes]] = [
        (Keyring.add, NEW),
        (Keyring.use, NEW),
        (Keyring.remove, OLD),
    ]
    for step, key in steps:
        for ring in rings:
            step(ring, key)
            assert all_hear_all()
    assert all(ring.primary == NEW for ring in rings)
    assert opened(seals[0], seal_of(OLD, node="late").seal(b"x")) is None
    assert seals[0].refusals == {SealRefusal.NO_KEY: 1}


@pytest.mark.requirement("SEC.2")
def test_a_replay_is_refused() -> None:
    sender, receiver = seal_of(node="a"), seal_of(node="b")
    first, second = sender.seal(b"1"), sender.seal(b"2")
    assert opened(receiver, second) == b"2"
    assert opened(receiver, first) == b"1"
    assert opened(receiver, first) is None
    assert opened(receiver, second) is None
    assert receiver.refusals == {SealRefusal.DUPLICATE: 2}


@pytest.mark.requirement("SEC.2")
def test_a_restarted_sender_is_heard_and_its_former_life_is_not() -> None:
    receiver, former = seal_of(node="b"), seal_of(node="a", session=1)
    old, unseen = former.seal(b"old"), former.seal(b"unseen")
    assert opened(receiver, old) == b"old"
    assert opened(receiver, seal_of(node="a", session=2).seal(b"new")) == b"new"
    assert opened(receiver, unseen) is None
    assert receiver.refusals == {SealRefusal.ENDED_SESSION: 1}


@pytest.mark.parametrize(
    ("sender", "reason"),
    [
        (seal_of(OTHER), SealRefusal.NO_KEY),
        (seal_of(cluster="other"), SealRefusal.WRONG_GROUP),
        (seal_of(environment="other"), SealRefusal.WRONG_GROUP),
        (seal_of(cluster="maint", environment="est"), SealRefusal.WRONG_GROUP),
    ],
)
def test_strangers_stay_out_and_are_counted(sender: DatagramSeal, reason: SealRefusal) -> None:
    receiver = seal_of(node="b")
    assert opened(receiver, sender.seal(b"x")) is None
    assert receiver.refusals == {reason: 1}


def test_the_group_is_authenticated_not_only_named() -> None:
    sender, receiver = seal_of(cluster="other"), seal_of(node="b")
    forged = seal_of(node="c").seal(b"x")[:5] + sender.seal(b"x")[5:]
    assert opened(receiver, forged) is None
    assert receiver.refusals == {SealRefusal.NO_KEY: 1}


def test_every_changed_byte_is_noticed() -> None:
    sender = seal_of()
    sealed = sender.seal(b"payload")
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 0x01
        assert opened(seal_of(node="b"), bytes(changed)) is None


@given(st.binary(max_size=200))
def test_noise_is_counted_and_nothing_else(noise: bytes) -> None:
    receiver = seal_of(node="b")
    assert opened(receiver, noise) is None
    assert receiver.refusals.total() == 1


def test_a_key_that_cannot_be_is_said() -> None:
    with pytest.raises(KeyringError, match="16, 24 or 32"):
        Keyring(b"short")
    ring = Keyring(OLD)
    with pytest.raises(KeyringError, match="add it first"):
        ring.use(NEW)
    with pytest.raises(KeyringError, match="in use"):
        ring.remove(OLD)
    for number in range(7):
        ring.add(bytes([number]) * 16)
    with pytest.raises(KeyringError, match="8 keys"):
        ring.add(NEW)
    ring.add(OLD)


def test_ids_have_a_length() -> None:
    with pytest.raises(ValueError, match="1 to 255 bytes"):
        seal_of(node="")
    assert opened(seal_of(node="b"), seal_of(node="n" * 255).seal(b"x")) == b"x"


@given(st.lists(st.integers(0, 200), max_size=300))
def test_the_window_takes_each_number_at_most_once(numbers: list[int]) -> None:
    window, taken, highest = ReplayWindow(size=64), set(), -1
    for number in numbers:
        verdict = window.check(b"a", 1, number)
        late = highest - number >= 64
        expected = ReplayVerdict.DUPLICATE if number in taken else ReplayVerdict.FRESH
        assert verdict is (ReplayVerdict.TOO_OLD if late else expected)
        if verdict is ReplayVerdict.FRESH:
            taken.add(number)
            highest = max(highest, number)


def test_the_window_is_bounded() -> None:
    window = ReplayWindow(size=4, senders_max=2)
    for sender in (b"a", b"b", b"a", b"c"):
        window.check(sender, 1, 1)
    assert len(window) == 2
    assert window.check(b"a", 1, 1) is ReplayVerdict.DUPLICATE
    assert window.check(b"a", 1, 2**63) is ReplayVerdict.TOO_OLD
    assert window.check(b"a", 1, 2**62) is ReplayVerdict.FRESH
    with pytest.raises(ValueError, match="room"):
        ReplayWindow(size=0)
