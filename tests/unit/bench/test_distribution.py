"""Whose fault it is when an engine reports other latencies than were asked of the target."""

from __future__ import annotations

import numpy as np
import pytest

from bench.engine.distribution import LatencyRun
from bench.engine.percentiles import percentile
from bench.engine.schedule import delay_seconds
from hyperscale.workload.histogram import Histogram

COUNT = 2000
ASKED_SECONDS = [delay_seconds(number) for number in range(COUNT)]
HELD_UP_SECONDS = 0.010
"""What a machine that gives the target no core adds to each delay."""


def reported(seconds: list[float]) -> Histogram:
    """What an engine makes of latencies that it measures as they are."""
    histogram = Histogram()
    histogram.record_many(np.array(seconds) * 1000)
    return histogram


def test_an_engine_that_reports_what_a_held_up_target_imposed_is_right_and_the_reader_sees_the_hold_up() -> None:
    held_seconds = [delay + HELD_UP_SECONDS for delay in ASKED_SECONDS]
    rows = LatencyRun(reported(held_seconds), held_seconds).rows()
    assert [row.name for row in rows if not row.is_met] == []
    assert "held 28.83 ms, asked of the target 18.83 ms" in rows[0].note


def test_an_engine_that_reports_other_latencies_than_were_imposed_is_wrong() -> None:
    rows = LatencyRun(reported([delay + HELD_UP_SECONDS for delay in ASKED_SECONDS]), ASKED_SECONDS).rows()
    assert [row.is_met for row in rows] == [False, False, False]


@pytest.mark.parametrize("held", [ASKED_SECONDS[1:], [*ASKED_SECONDS, 0.005]])
def test_a_request_that_one_side_alone_has_counted_is_seen(held: list[float]) -> None:
    assert LatencyRun(reported(ASKED_SECONDS), held).uncounted == 1


@pytest.mark.parametrize(
    ("count", "percent", "value"), [(1, 50, 1), (2, 50, 1), (3, 50, 2), (100, 99, 99), (101, 99, 100)]
)
def test_a_percentile_is_the_least_value_that_its_share_does_not_exceed(count: int, percent: int, value: int) -> None:
    assert percentile(range(count, 0, -1), percent) == value
