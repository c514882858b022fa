from __future__ import annotations

import pytest

from hyperscale.swim.dissemination import Dissemination, retransmit_limit


@pytest.mark.parametrize(("members", "limit"), [(0, 0), (1, 3), (9, 3), (10, 6), (99, 6), (100, 9)])
def test_the_limit_is_that_of_the_reference(members: int, limit: int) -> None:
    assert retransmit_limit(3, members) == limit


def test_the_least_transmitted_goes_first_and_each_only_so_often() -> None:
    news = Dissemination(1, 10)
    news.put_belief("a", b"a")
    assert news.take(100, 99) == [b"a"]
    news.put_belief("b", b"b")
    assert news.take(1, 99) == [b"b"]
    assert sorted(news.take(100, 99)) == [b"a", b"b"]
    assert news.take(100, 99) == []


def test_only_the_newest_about_a_member_is_spread() -> None:
    news = Dissemination(3, 10)
    news.put_record("a", b"alive")
    news.take(100, 99)
    news.put_belief("a", b"suspect")
    assert news.take(100, 99) == [b"suspect"]
    assert not news.has_complete("a")


def test_what_does_not_fit_waits_and_is_not_starved() -> None:
    news = Dissemination(1, 100)
    news.put_record("big", b"x" * 600)
    for number in range(5):
        news.put_belief(str(number), b"y" * 100)
    assert news.take(550, 99) == [b"y" * 100] * 5
    assert news.take(1000, 99)[0] == b"x" * 600


def test_a_full_queue_drops_the_most_transmitted() -> None:
    news = Dissemination(3, 2)
    news.put_belief("old", b"old")
    news.take(100, 99)
    assert news.put_belief("new", b"new")
    assert not news.put_belief("newer", b"newer")
    assert sorted(news.take(100, 99)) == [b"new", b"newer"]
    assert len(news) == 2
