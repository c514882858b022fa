"""Seconds of a run as watchers see them."""

from __future__ import annotations

import pytest

from hyperscale.gate.live_view import LiveMetrics, WindowView
from hyperscale.gate.models.part import DatacenterPart
from hyperscale.gate.stages import LOAD
from hyperscale.gate.stats import GlobalStatistics
from hyperscale.gate.thresholds import JobThresholds
from hyperscale.v1 import gate_service_pb2, job_pb2, statistics_pb2
from hyperscale.workload.spans import LoadSpans
from hyperscale.workload.statistics import WorkflowStatistics
from hyperscale.workload.timestamps import duration, seconds_of, timestamp
from hyperscale.workload.windows import MergedWindow
from tests.unit.gate.harness import measured


def second(part: DatacenterPart, start_seconds: int, requests: int) -> gate_service_pb2.JobWindow:
    statistics = GlobalStatistics([part.datacenter], 1.0)
    statistics.take_totals(part.datacenter, LOAD, 1, measured(1000))
    (stats,) = measured(requests)
    window = MergedWindow(start_seconds, {"shop": WorkflowStatistics.from_proto(stats)})
    spans: LoadSpans[str] = LoadSpans()
    if part.result is not None:
        spans.heard(part.datacenter, seconds_of(part.result.elapsed), 5000, is_over=True)
    live = LiveMetrics(statistics, spans, {part.datacenter: part}, 5000)
    return WindowView({part.datacenter: part}, live, JobThresholds([])).of(window)


def test_seconds_at_the_edge_of_the_load_have_the_rate_of_their_part() -> None:
    part = DatacenterPart("east", started_at_seconds=1000.75)
    first, whole = second(part, 1000, 25), second(part, 1001, 100)
    part.result = job_pb2.JobFinalResult(started_at=timestamp(1000.75), elapsed=duration(9.75))
    last = second(part, 1010, 50)
    assert [each.metrics["http_reqs"].values["rate"] for each in (first, whole, last)] == pytest.approx([100] * 3)
    assert [seconds_of(each.elapsed) for each in (first, whole, last)] == [0.25, 1.25, 9.75]
    assert last.totals["http_reqs"].values["rate"] == pytest.approx(1000 / 9.75)


def test_what_cannot_be_reached_is_in_every_second() -> None:
    part = DatacenterPart("east", started_at_seconds=1000.0)
    statistics = GlobalStatistics(["east"], 1.0)
    shop, admin = WorkflowStatistics("shop"), WorkflowStatistics("admin")
    for entry in (shop, shop, admin):
        entry.unreachable.note("127.0.0.1:9", statistics_pb2.ERROR_CLASS_CONNECT)
    statistics.take_totals("east", LOAD, 1, [shop.to_proto(), admin.to_proto()])
    live = LiveMetrics(statistics, LoadSpans(), {}, 5000)
    event = WindowView({"east": part}, live, JobThresholds([])).of(MergedWindow(1000, {}))
    assert [(entry.address, entry.count) for entry in event.unreachable] == [("127.0.0.1:9", 3)]


def test_clocks_that_contradict_each_other_invent_no_rate() -> None:
    part = DatacenterPart("east", started_at_seconds=2000.0)
    early = second(part, 1000, 7)
    assert (early.metrics["http_reqs"].values["rate"], seconds_of(early.elapsed)) == (7, 0)
