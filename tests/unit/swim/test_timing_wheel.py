from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperscale.swim.timing_wheel import TICKS_PER_SECOND, TimingWheel

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 20), st.floats(-1, 200_000)),
        st.tuples(st.just("cancel"), st.integers(0, 20), st.just(0.0)),
        st.tuples(st.just("wait"), st.just(0), st.floats(0, 100_000)),
        st.tuples(st.just("next"), st.just(0), st.just(0.0)),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(STEPS, st.floats(0, 1e7))
def test_timers_fire_never_early_and_at_most_a_tick_late(steps: list[tuple[str, int, float]], start: float) -> None:
    wheel: TimingWheel[int] = TimingWheel(start)
    now = start
    due: dict[int, float] = {}
    for what, key, seconds in steps:
        if what == "set":
            wheel.schedule(key, now + seconds)
            due[key] = max(now, now + seconds)
        elif what == "cancel":
            wheel.cancel(key)
            due.pop(key, None)
        else:
            deadline = wheel.next_deadline()
            assert (deadline is None) == (not due)
            if what == "next" and deadline is None:
                continue
            now = max(now, deadline or 0.0) if what == "next" else now + seconds
            fired = wheel.expire(now)
            assert all(due[key] <= now for key in fired)
            for fired_key in fired:
                del due[fired_key]
            latest = now - 1 / TICKS_PER_SECOND
            assert all(when > latest for when in due.values())
        assert len(wheel) == len(due)


def test_the_next_deadline_is_exact_for_few_timers() -> None:
    wheel: TimingWheel[str] = TimingWheel(0.0)
    for name, seconds in (("hour", 3600.0), ("minute", 60.0), ("day", 86_400.0), ("second", 1.0)):
        wheel.schedule(name, seconds)
    order = []
    while (deadline := wheel.next_deadline()) is not None:
        fired = wheel.expire(deadline)
        order += [(name, deadline) for name in fired]
    assert order == [("second", 1.0), ("minute", 60.0), ("hour", 3600.0), ("day", 86_400.0)]


def test_timers_far_apart_come_in_their_order() -> None:
    wheel: TimingWheel[int] = TimingWheel(5.0)
    deadlines = [5.0 + 1.7**power for power in range(24)]
    for number, deadline in enumerate(deadlines):
        wheel.schedule(number, deadline)
    assert wheel.expire(1e6) == list(range(24))


def test_a_deadline_beyond_the_wheel_is_kept() -> None:
    wheel: TimingWheel[str] = TimingWheel(0.0)
    wheel.schedule("later", 1e6)
    assert wheel.expire(999_999.0) == []
    assert wheel.expire(1e6) == ["later"]


def test_setting_anew_replaces() -> None:
    wheel: TimingWheel[str] = TimingWheel(0.0)
    wheel.schedule("a", 1.0)
    wheel.schedule("a", 2.0)
    assert wheel.expire(1.5) == []
    assert wheel.expire(2.0) == ["a"]
    assert wheel.next_deadline() is None


def test_ten_thousand_timers_cost_little_memory_of_slots() -> None:
    wheel: TimingWheel[int] = TimingWheel(0.0)
    for number in range(10_000):
        wheel.schedule(number, 10.0 + number / 100)
    first = wheel.next_deadline()
    assert first is not None
    assert first <= 10.0
    assert len(wheel.expire(60.0)) == pytest.approx(5_000, abs=2)
    assert math.isclose(len(wheel), 5_000, abs_tol=2)
