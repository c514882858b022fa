"""Statistics add up: over steps, slots and windows, whatever is repeated, late or out of order."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.workload import slots
from hyperscale.workload.histogram import HistogramError
from hyperscale.workload.slots import SlotTotals, TooManySlotsError
from hyperscale.workload.statistics import WorkflowStatistics, merge_by_workflow
from hyperscale.workload.windows import MAX_OPEN_WINDOWS, WindowMerger


def measured(
    requests: int, workflow: str = "browse", step: str = "home", failed: int = 0, vus: int = 1
) -> WorkflowStatistics:
    statistics = WorkflowStatistics(workflow, iterations=requests, vus=vus, vus_max=vus + 1)
    home = statistics.step(step)
    home.total_count = requests
    home.bytes_sent, home.bytes_received = requests * 10, requests * 100
    home.failures[pb.ERROR_CLASS_TIMEOUT] += failed
    for value in range(requests - failed):
        home.duration_ms.record(value + 0.5)
        home.phases.blocked_ms.record(0.0)
        home.phases.waiting_ms.record(value + 0.25)
        statistics.iteration_duration_ms.record(value + 1.0)
    return statistics


MEASURED = st.builds(
    measured, st.integers(0, 5), st.sampled_from(["browse", "buy"]), st.sampled_from(["home", "cart"]), st.just(0)
)


def by_message(merged: dict[str, WorkflowStatistics]) -> dict[str, pb.WorkflowStats]:
    def plain(statistics: WorkflowStatistics) -> pb.WorkflowStats:
        message = statistics.to_proto()
        message.steps.sort(key=lambda step: step.step_name)
        return message

    return {name: plain(statistics) for name, statistics in merged.items()}


@given(st.lists(MEASURED, max_size=8).flatmap(lambda parts: st.tuples(st.just(parts), st.permutations(parts))))
@pytest.mark.requirement("AD-14.1")
def test_the_sum_does_not_depend_on_the_order(
    orders: tuple[list[WorkflowStatistics], list[WorkflowStatistics]],
) -> None:
    one, other = ([part.to_proto() for part in parts] for parts in orders)
    assert by_message(merge_by_workflow([one])) == by_message(merge_by_workflow([[part] for part in other]))


@given(MEASURED)
def test_a_message_carries_all_statistics(statistics: WorkflowStatistics) -> None:
    message = pb.WorkflowStats.FromString(statistics.to_proto().SerializeToString())
    assert WorkflowStatistics.from_proto(message) == statistics


def test_the_sum_of_two_places() -> None:
    total = measured(3, failed=1, vus=2)
    total.merge(measured(4, step="cart", failed=2, vus=5))
    total.merge(measured(1))
    assert (total.iterations, total.vus, total.vus_max) == (8, 8, 11)
    assert (total.steps["home"].total_count, total.steps["home"].failed_count) == (4, 1)
    assert total.steps["cart"].failures == {pb.ERROR_CLASS_TIMEOUT: 2}
    assert total.steps["home"].duration_ms.count == 3
    assert list(total.steps) == ["home", "cart"]


def test_a_copy_of_statistics_changes_by_itself() -> None:
    original = measured(2)
    original.copy().merge(measured(5))
    assert original == measured(2)


def test_another_workflow_is_not_merged_in() -> None:
    with pytest.raises(ValueError, match="'buy' cannot be merged into 'browse'"):
        measured(1).merge(measured(1, workflow="buy"))


def test_a_faulty_message_is_refused() -> None:
    message = measured(1).to_proto()
    message.steps[0].duration_ms.sum = math.nan
    with pytest.raises(HistogramError):
        merge_by_workflow([[message]])


@pytest.mark.requirement("AD-14.1")
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 6)), max_size=40),
)
def test_slots_keep_the_newest_totals_through_duplicates_and_reordering(reports: list[tuple[str, int]]) -> None:
    totals: SlotTotals[str] = SlotTotals()
    newest: dict[str, int] = {}
    for slot, sequence in reports:
        is_news = sequence > newest.get(slot, 0)
        assert totals.update(slot, sequence, [measured(sequence)]) is is_news
        newest[slot] = max(sequence, newest.get(slot, 0))
    assert by_message(totals.totals()) == by_message(
        merge_by_workflow([[measured(sequence).to_proto()] for sequence in newest.values()])
    )


def test_asking_for_totals_does_not_change_them() -> None:
    totals: SlotTotals[str] = SlotTotals()
    totals.update("a", 1, [measured(2)])
    totals.totals()["browse"].merge(measured(5))
    assert totals.totals() == {"browse": measured(2)}


def test_a_forgotten_slot_is_out_of_the_sum() -> None:
    totals: SlotTotals[str] = SlotTotals()
    totals.update("a", 1, [measured(2)])
    totals.update("b", 1, [measured(3), measured(1, workflow="buy")])
    totals.forget("a")
    totals.forget("never seen")
    assert totals.totals() == {"browse": measured(3), "buy": measured(1, workflow="buy")}
    assert len(totals) == 1


def test_slots_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "MAX_SLOTS", 2)
    totals: SlotTotals[str] = SlotTotals()
    totals.update("a", 1, [measured(1)])
    totals.update("b", 1, [measured(1)])
    with pytest.raises(TooManySlotsError):
        totals.update("c", 1, [measured(1)])
    assert totals.update("a", 2, [measured(4)])
    assert totals.totals()["browse"].iterations == 5


def test_a_window_closes_when_its_tolerance_is_over() -> None:
    merger: WindowMerger[str] = WindowMerger(0.25)
    assert merger.add("a", 100, [measured(1)])
    assert merger.add("b", 100, [measured(2)])
    assert merger.close_due(101.2) == []
    [window] = merger.close_due(101.25)
    assert window.window_start_seconds == 100
    assert window.statistics["browse"].iterations == 3
    assert merger.close_due(200) == []
    assert merger.open_count == 0


@pytest.mark.requirement("AD-14.1")
def test_a_repeated_window_counts_once() -> None:
    merger: WindowMerger[str] = WindowMerger(0.25)
    assert merger.add("a", 100, [measured(1)])
    assert not merger.add("a", 100, [measured(1)])
    [window] = merger.close_due(102)
    assert window.statistics == {"browse": measured(1)}
    assert merger.late_count == 0


def test_a_late_window_is_counted_and_left_out() -> None:
    merger: WindowMerger[str] = WindowMerger(0.25)
    merger.add("a", 100, [measured(1)])
    merger.close_due(102)
    assert not merger.add("b", 100, [measured(1)])
    assert not merger.add("b", 99, [measured(1)])
    assert merger.late_count == 2
    assert merger.close_due(math.inf) == []


def test_a_window_that_every_expected_slot_has_delivered_closes_at_once_but_in_order() -> None:
    merger: WindowMerger[str] = WindowMerger(10.0)
    merger.add("a", 100, [measured(1)])
    merger.add("a", 101, [measured(1)])
    merger.add("b", 101, [measured(1)])
    assert merger.close_due(101.0, {"a", "b"}) == []
    merger.add("b", 100, [measured(1)])
    assert [window.window_start_seconds for window in merger.close_due(101.0, {"a", "b"})] == [100, 101]


def test_merging_windows_leaves_the_callers_statistics_alone() -> None:
    merger: WindowMerger[str] = WindowMerger(0.25)
    first = measured(1)
    merger.add("a", 100, [first])
    merger.add("b", 100, [measured(2)])
    assert first == measured(1)


def test_a_clock_far_ahead_does_not_displace_the_present() -> None:
    merger: WindowMerger[str] = WindowMerger(0.25)
    for ahead in range(MAX_OPEN_WINDOWS):
        merger.add("ahead", 1_000_000 + ahead, [measured(1)])
    assert merger.add("right", 100, [measured(1)])
    assert not merger.add("ahead", 2_000_000, [measured(1)])
    assert (merger.open_count, merger.dropped_count) == (MAX_OPEN_WINDOWS, 2)
    assert [window.window_start_seconds for window in merger.close_due(102)] == [100]


def test_addresses_without_connection_add_up_and_are_bounded() -> None:
    first, second = WorkflowStatistics("shop"), WorkflowStatistics("shop")
    for number in range(8):
        first.unreachable.note(f"host-{number}:80", pb.ERROR_CLASS_CONNECT)
        second.unreachable.note(f"host-{number + 4}:80", pb.ERROR_CLASS_CONNECT)
    second.unreachable.note("host-0:80", pb.ERROR_CLASS_TIMEOUT)
    first.merge(WorkflowStatistics.from_proto(second.to_proto()))
    found = {(entry.address, entry.error_class): entry.count for entry in first.to_proto().unreachable}
    assert len(found) == 10
    assert found["host-0:80", pb.ERROR_CLASS_TIMEOUT] == 1
    assert found["host-4:80", pb.ERROR_CLASS_CONNECT] == 2
    assert ("host-9:80", pb.ERROR_CLASS_CONNECT) not in found
