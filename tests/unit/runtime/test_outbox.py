"""Nothing required is lost, order is kept, the newest of a key wins, overflow is counted."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.runtime.outbox import Delivery, Outbox, Outgoing, PendingReports
from hyperscale.runtime.supervisor import Supervisor


def drained(pending: PendingReports[str]) -> list[str]:
    taken = []
    while (outgoing := pending.take()) is not None:
        taken.append(outgoing.report)
    return taken


def test_reports_leave_in_order_with_rising_sequences() -> None:
    pending: PendingReports[str] = PendingReports(10)
    assert [pending.put(report, None, Delivery.REQUIRED) for report in "abc"] == [1, 2, 3]
    assert pending.take() == Outgoing(1, "a")
    assert drained(pending) == ["b", "c"]
    assert len(pending) == 3


def test_the_newest_report_of_a_key_replaces_the_older_one_sent_or_not() -> None:
    pending: PendingReports[str] = PendingReports(10)
    pending.put("old", "key", Delivery.REQUIRED)
    pending.take()
    pending.put("other", None, Delivery.REQUIRED)
    sequence = pending.put("new", "key", Delivery.REQUIRED)
    pending.ack(1)
    assert drained(pending) == ["other", "new"]
    pending.ack(sequence)
    assert len(pending) == 0
    pending.put("again", "key", Delivery.REQUIRED)
    assert drained(pending) == ["again"]


def test_acknowledgement_is_cumulative_and_may_repeat() -> None:
    pending: PendingReports[str] = PendingReports(10)
    for report in "abcd":
        pending.put(report, None, Delivery.REQUIRED)
    drained(pending)
    for sequence in (2, 2, 1):
        pending.ack(sequence)
    assert pending.sent_count == 2
    pending.rewind()
    assert drained(pending) == ["c", "d"]


def test_what_is_withdrawn_is_neither_sent_nor_waited_for() -> None:
    pending: PendingReports[str] = PendingReports(10)
    for report in "abcd":
        pending.put(report, report, Delivery.DROPPABLE)
    pending.take()
    assert pending.withdraw(lambda report: report in "ac") == ["a", "c"]
    pending.rewind()
    assert drained(pending) == ["b", "d"]
    pending.ack(4)
    assert len(pending) == 0


def test_a_rewind_sends_everything_unacknowledged_again_in_order() -> None:
    pending: PendingReports[str] = PendingReports(10)
    for report in "abc":
        pending.put(report, None, Delivery.REQUIRED)
    pending.take()
    pending.take()
    pending.rewind()
    assert pending.sent_count == 0
    pending.ack(1)
    assert drained(pending) == ["b", "c"]


def test_overflow_drops_the_oldest_droppable_report_and_counts_it() -> None:
    pending: PendingReports[str] = PendingReports(3)
    pending.put("required", None, Delivery.REQUIRED)
    for report in ("old", "middle", "new"):
        pending.put(report, None, Delivery.DROPPABLE)
    assert drained(pending) == ["required", "middle", "new"]
    assert pending.dropped_count == 1


def test_required_reports_are_kept_beyond_the_capacity_and_fill_says_so() -> None:
    pending: PendingReports[str] = PendingReports(2)
    for report in "abc":
        pending.put(report, None, Delivery.REQUIRED)
    assert pending.fill == 1.5
    assert pending.dropped_count == 0
    assert drained(pending) == ["a", "b", "c"]


operations = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from([None, "x", "y"]), st.sampled_from(list(Delivery))),
        st.tuples(st.just("take")),
        st.tuples(st.just("rewind")),
        st.tuples(st.just("ack"), st.integers(0, 60)),
    ),
    max_size=60,
)


@given(operations)
def test_every_required_report_stays_until_acknowledged_or_replaced(steps: list[tuple[object, ...]]) -> None:
    pending: PendingReports[int] = PendingReports(4)
    expected: dict[int, object] = {}
    for number, step in enumerate(steps):
        match step:
            case ("put", key, Delivery() as delivery):
                sequence = pending.put(number, key, delivery)
                expected = {held: held_key for held, held_key in expected.items() if key is None or held_key != key}
                if delivery is Delivery.REQUIRED:
                    expected[sequence] = key
            case ("ack", int() as acknowledged):
                pending.ack(acknowledged)
                expected = {held: key for held, key in expected.items() if held > acknowledged}
            case ("take",):
                pending.take()
            case _:
                pending.rewind()
    size = len(pending)
    pending.rewind()
    resent = []
    while (outgoing := pending.take()) is not None:
        resent.append(outgoing.sequence)
    assert resent == sorted(resent)
    assert set(expected) <= set(resent)
    assert size == len(resent) <= max(4, len(expected))


async def test_next_waits_for_a_report(supervisor: Supervisor) -> None:
    outbox: Outbox[str] = Outbox(10)
    waiting = supervisor.start(outbox.next(), name="next")
    await asyncio.sleep(0)
    assert not waiting.done()
    outbox.put("report")
    assert await waiting == Outgoing(1, "report")
    outbox.rewind()
    assert await outbox.next() == Outgoing(1, "report")
    assert (len(outbox), outbox.sent_count, outbox.fill, outbox.dropped_count) == (1, 1, 0.1, 0)
    outbox.ack(1)
    assert len(outbox) == 0


async def test_a_cancelled_next_takes_nothing() -> None:
    outbox: Outbox[str] = Outbox(10)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await outbox.next()
    outbox.put("report")
    assert await outbox.next() == Outgoing(1, "report")
