"""Starts of arrival rates and users of ramps are exact closed forms, and divide without loss."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from hyperscale.workload.schedule import ArrivalSchedule, Line, RampSchedule, lines
from hyperscale.workload.shares import WHOLE

SECOND = 1_000_000_000
stages = st.lists(st.tuples(st.integers(0, 20 * SECOND), st.integers(0, 60)), min_size=1, max_size=6)
weights = st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any)


def area(rates: tuple[Line, ...], until_ns: int) -> Fraction:
    """The integral of the rate, in rate times nanoseconds."""
    total = Fraction(0)
    for rate in rates:
        taken = min(until_ns, rate.duration_ns)
        if taken:
            reached = rate.start_value + Fraction((rate.end_value - rate.start_value) * taken, rate.duration_ns)
            total += (rate.start_value + reached) * taken / 2
        until_ns -= taken
    return total


@given(st.integers(0, 60), stages, st.integers(1, 10 * SECOND))
def test_an_item_is_due_at_the_first_nanosecond_of_its_area(
    start: int, found: list[tuple[int, int]], unit_ns: int
) -> None:
    rates = lines(start, found)
    schedule = ArrivalSchedule(rates, max(unit_ns, SECOND // 100))
    unit_ns = max(unit_ns, SECOND // 100)
    end_ns = sum(rate.duration_ns for rate in rates)
    assert schedule.count == area(rates, end_ns) // unit_ns
    step = max(1, schedule.count // 20)
    for item in range(1, schedule.count + 1, step):
        due = schedule.due_ns(item)
        assert 0 < due <= end_ns
        assert area(rates, due) >= item * unit_ns > area(rates, due - 1)


@given(st.integers(0, 60), stages, weights)
def test_every_start_is_made_by_exactly_one_part(start: int, found: list[tuple[int, int]], shares: list[int]) -> None:
    schedule = ArrivalSchedule(lines(start, found), SECOND)
    parts = [list(schedule.due_in(part)) for part in WHOLE.divide(shares)]
    assert all(part == sorted(part) for part in parts)
    assert sorted(due for part in parts for due in part) == [
        schedule.due_ns(item) for item in range(1, schedule.count + 1)
    ]


def test_a_constant_rate_starts_in_equal_distances() -> None:
    schedule = ArrivalSchedule((Line(200, 200, 20 * SECOND),), SECOND)
    assert list(schedule.due_in(WHOLE)) == [item * SECOND // 200 for item in range(1, 4001)]


def test_nothing_starts_while_the_rate_is_zero() -> None:
    schedule = ArrivalSchedule(lines(0, [(5 * SECOND, 0), (0, 10), (SECOND, 10)]), SECOND)
    assert list(schedule.due_in(WHOLE)) == [5 * SECOND + item * SECOND // 10 for item in range(1, 11)]


def test_the_longest_and_fastest_rate_is_exact() -> None:
    day_ns = 24 * 3600 * SECOND
    schedule = ArrivalSchedule(lines(0, [(day_ns, 10_000_000)]), SECOND)
    assert schedule.count == 432_000_000_000
    assert schedule.due_ns(schedule.count) == day_ns


@given(st.integers(0, 60), stages, weights)
def test_users_of_parts_add_up_to_the_ramp_at_every_change(
    start: int, found: list[tuple[int, int]], shares: list[int]
) -> None:
    ramp = RampSchedule(lines(start, found))
    changes = sorted(
        (change for part in WHOLE.divide(shares) for change in ramp.changes_in(part)), key=lambda change: change.at_ns
    )
    assert {change.user for change in changes} == set(range(1, ramp.most_users + 1))
    present: set[int] = set()
    for index, change in enumerate(changes):
        (present.add if change.comes else present.remove)(change.user)
        if index + 1 == len(changes) or changes[index + 1].at_ns > change.at_ns:
            assert len(present) == ramp.users_at(change.at_ns)


@given(st.integers(1, 5), weights)
def test_users_come_and_go_in_proportion(peak: int, shares: list[int]) -> None:
    ramp = RampSchedule(lines(0, [(10 * SECOND, peak * 20), (10 * SECOND, 0)]))
    for weight, part in zip(shares, WHOLE.divide(shares), strict=True):
        present = 0
        for change in ramp.changes_in(part):
            present += 1 if change.comes else -1
            assert abs(present - ramp.users_at(change.at_ns) * weight / sum(shares)) <= 5


def test_a_ramp_is_a_straight_line() -> None:
    ramp = RampSchedule(lines(2, [(10 * SECOND, 12), (0, 20), (5 * SECOND, 0)]))
    at_seconds = {0: 2, 1: 3, 5: 7, 10: 20, 11: 16, 15: 0, 99: 0}
    assert {seconds: ramp.users_at(seconds * SECOND) for seconds in at_seconds} == at_seconds
    assert ramp.most_users == 20
