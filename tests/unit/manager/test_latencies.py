"""How long requests took lately, as a manager tells gates."""

import numpy as np
import pytest

from hyperscale.manager.latencies import RequestLatencies
from hyperscale.v1.progress_pb2 import RequestLatency
from hyperscale.v1.statistics_pb2 import StatsWindow
from hyperscale.workload.statistics import WorkflowStatistics
from hyperscale.workload.timestamps import timestamp
from tests.support.shards import workflow
from tests.support.waiting import until
from tests.unit.manager.harness import ManagerInMemory, TurnedClock, dispatch

SHARD = "job-1/A/0"


def took(*milliseconds: float, name: str = "A", protocol: str = "") -> WorkflowStatistics:
    statistics = WorkflowStatistics(name)
    step = statistics.step("get")
    durations = step.protocol(protocol).duration_ms if protocol else step.duration_ms
    durations.record_many(np.array(milliseconds))
    return statistics


def percentiles(latency: RequestLatency | None) -> tuple[float, ...]:
    return () if latency is None else (latency.p50_ms, latency.p95_ms, latency.p99_ms)


async def test_heartbeats_carry_percentiles_of_what_workers_report(manager: ManagerInMemory) -> None:
    manager.join("worker-1", 7001, 1)
    await manager.intake.accept(dispatch("job-1", workflow("A")))
    await until(lambda: manager.port.orders)
    assert not manager.health.heartbeat().HasField("request_latency")
    second = StatsWindow(window_start=timestamp(int(manager.clock.wall())), stats=took(*range(1, 101)).to_proto())
    report = manager.report("worker-1", SHARD, windows=[second])
    manager.progress.take("worker-1", report)
    told = manager.health.heartbeat().request_latency
    assert told.count == 100
    assert percentiles(told) == pytest.approx((50, 95, 99), rel=0.006)
    assert not manager.health.vitals().HasField("request_latency")


def test_minutes_are_forgotten_one_by_one() -> None:
    clock = TurnedClock()
    clock.now = 6000.0
    latencies = RequestLatencies(clock)
    for minute in range(5):
        clock.now = 6000.0 + 60 * minute
        latencies.add([took(10.0 * (minute + 1))])
    counts = []
    for minute in range(4, 11):
        clock.now = 6000.0 + 60 * minute
        summary = latencies.summary()
        counts.append(summary.count if summary is not None else 0)
    assert counts == [5, 4, 3, 2, 1, 0, 0]


def test_calls_of_every_protocol_count_but_neither_code_nor_setups() -> None:
    latencies = RequestLatencies(TurnedClock())
    latencies.add([took(5.0, protocol="code"), took(5.0, name="A.setup"), took(5.0, name="A.teardown")])
    assert latencies.summary() is None
    latencies.add([took(8.0), took(8.0, protocol="grpc")])
    summary = latencies.summary()
    assert summary is not None
    assert summary.count == 2
