from __future__ import annotations

import random
from collections import Counter

from hyperscale.swim.random_set import RandomSet, Rotation


def test_members_are_drawn_evenly_after_others_have_gone() -> None:
    rng = random.Random(1)
    drawable = RandomSet()
    for number in range(20):
        drawable.add(str(number))
    for number in range(0, 20, 2):
        drawable.discard(str(number))
    counts = Counter(drawable.draw(rng) for _ in range(10_000))
    assert set(counts) == {str(number) for number in range(1, 20, 2)}
    assert all(850 < count < 1150 for count in counts.values())


def test_a_sample_has_no_member_twice_and_only_accepted_ones() -> None:
    rng = random.Random(1)
    for size in (0, 1, 3, 10, 500):
        drawable = RandomSet()
        for number in range(size):
            drawable.add(str(number))
        for _ in range(50):
            sample = drawable.sample(3, rng, lambda item: int(item) % 2 == 0)
            assert len(set(sample)) == len(sample) <= 3
            assert all(int(item) % 2 == 0 for item in sample)
            if size in (3, 10):
                assert len(sample) == min(3, (size + 1) // 2)


def test_each_has_its_turn_once_a_round_and_newcomers_in_the_round_under_way() -> None:
    rng = random.Random(1)
    rotation = Rotation()
    for name in "abcdef":
        rotation.add(name)
    rounds = ["".join(str(rotation.next(rng, lambda item: True)) for _ in range(6)) for _ in range(50)]
    assert all(sorted(turn) == list("abcdef") for turn in rounds)
    assert len(set(rounds)) > 30
    rotation.next(rng, lambda item: True)
    rotation.add("g")
    assert "g" in {rotation.next(rng, lambda item: True) for _ in range(6)}


def test_who_is_gone_leaves_the_rotation_and_can_come_back() -> None:
    rng = random.Random(1)
    rotation = Rotation()
    for name in "abcd":
        rotation.add(name)
    stays = set("ac")
    assert {rotation.next(rng, stays.__contains__) for _ in range(20)} == {"a", "c"}
    assert len(rotation) == 2
    rotation.add("b")
    stays.add("b")
    assert {rotation.next(rng, stays.__contains__) for _ in range(3)} == {"a", "b", "c"}
    assert rotation.next(rng, lambda item: False) is None
