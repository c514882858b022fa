"""A job at the end of its time: a gate, a manager and a worker's shard together, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from hyperscale.runtime.coordination import MemoryStore
from hyperscale.v1.dispatch_pb2 import JobCancelRequest, JobCancelResponse, JobDispatch
from hyperscale.v1.engine_pb2 import EngineProgress, EngineReport
from hyperscale.v1.gate_service_pb2 import WorkflowQueryRequest
from hyperscale.v1.job_pb2 import (
    JOB_STATUS_COMPLETED,
    JOB_STATUS_TIMEOUT,
    GlobalJobResult,
    JobAck,
)
from hyperscale.v1.manager_service_pb2 import WorkflowQueryResponse
from hyperscale.v1.membership_service_pb2 import NodeListResponse
from hyperscale.v1.progress_pb2 import SHARD_STATUS_COMPLETED, SHARD_STATUS_RUNNING, ManagerReport
from hyperscale.v1.statistics_pb2 import StepStats, WorkflowStats
from hyperscale.worker.execution import ShardExecution
from hyperscale.worker.models.engines import StopStage
from hyperscale.worker.models.shards import EngineShare, ExecutionSettings, ShardStopCause, StopLimits, StopReason
from hyperscale.worker.models.time import Moment
from hyperscale.workload.timestamps import duration, seconds_of, timestamp
from tests.support.shards import DATACENTER, worker_heartbeat
from tests.support.virtual_time import run_in_virtual_time
from tests.support.waiting import until
from tests.unit.gate.harness import GateInMemory, heartbeat, make_gate, start, submission
from tests.unit.manager.harness import ManagerInMemory, TurnedClock

TIMEOUT_SECONDS = 60.0
WANTED = 100
PORT = 7001
SETTINGS = ExecutionSettings(
    "worker-1", engine_stall_seconds=10, interrupt_seconds=3, window_tolerance_seconds=0.25, extension_lead_seconds=5
)
Pace = Callable[[float], int]
"""Iterations that have ended so many seconds after the first load."""


@dataclass(slots=True)
class ManagerBehindGate:
    """The manager's calls as the gate makes them."""

    manager: ManagerInMemory
    cancelled_at: list[float] = field(default_factory=list)

    async def submit_job(self, address: str, dispatch: JobDispatch) -> JobAck:
        return await self.manager.intake.accept(dispatch)

    async def cancel_job(self, address: str, request: JobCancelRequest) -> JobCancelResponse:
        self.cancelled_at.append(self.manager.clock.now)
        return JobCancelResponse(job_id=request.job_id, status=await self.manager.cancellation.cancel(request))

    async def query_workflows(self, address: str, request: WorkflowQueryRequest) -> WorkflowQueryResponse:
        return WorkflowQueryResponse(workflows=await self.manager.queries.find(request))

    async def list_nodes(self, address: str) -> NodeListResponse:
        return NodeListResponse()


class World:
    """One job of so many iterations, made by one engine as fast as the test says."""

    def __init__(self, pace: Pace, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self.clock = TurnedClock()
        self.store = MemoryStore(asyncio.get_running_loop().time)
        self.manager = ManagerInMemory("manager-1", self.store, self.clock)
        self.calls = ManagerBehindGate(self.manager)
        self.gate: GateInMemory = make_gate(self.store, clock=self.clock, calls=self.calls)
        self._pace = pace
        self._timeout_seconds = timeout_seconds
        self._shard: ShardExecution | None = None
        self._begun = 0.0

    async def play(self) -> GlobalJobResult:
        """Run the job to its end."""
        async with self.manager:
            await self.manager.lead()
            self.manager.join("worker-1", PORT, 1)
            await start(self.gate, DATACENTER)
            self.manager.reports.met("127.0.0.1:1", "g1")
            job = submission(DATACENTER, vus=1, iterations=WANTED)
            job.timeout.CopyFrom(duration(self._timeout_seconds))
            self.submitted_at = self.clock.now
            job_id = await self.gate.submit(job)
            run = self.gate.node.jobs.state.find(job_id)
            assert run is not None
            await until(lambda: self.manager.port.orders)
            self._begin()
            while not run.is_terminal:
                await self._second()
            self.ended_at = self.clock.now
            self.events = [event async for event in run.events.watch(0, run.snapshot)]
            await self.gate.supervisor.stop(5)
        return run.record.result

    def _begin(self) -> None:
        order = self.manager.port.order(self.manager.port.orders[-1][1].shard_id)
        self._shard = ShardExecution(order, 1, [EngineShare(0, 100)], SETTINGS, self._now())
        self._begun = self.clock.now

    async def _second(self) -> None:
        """The next second: the engine reports, then the worker, then the manager; the gate looks twice."""
        await asyncio.sleep(0.5)
        self.clock.now += 0.5
        await asyncio.sleep(0.5)
        self.clock.now += 0.5
        shard = self._shard
        assert shard is not None
        if shard.status == SHARD_STATUS_RUNNING:
            self._stop_if_told(shard)
            self._engine_reports(shard)
            shard.advance(self._now())
            self.manager.progress.take("worker-1", shard.frame(self._now()))
            self._beat(shard)
        self.manager.upkeep.tick()
        self.gate.report(DATACENTER, heartbeat=heartbeat(DATACENTER))
        for report in await self.manager.sent():
            self.gate.report(DATACENTER, **_content(report))

    def _engine_reports(self, shard: ShardExecution) -> None:
        elapsed = self.clock.now - self._begun
        done = min(WANTED, self._pace(elapsed))
        totals = WorkflowStats(
            workflow_name="shop", iterations=done, steps=[StepStats(step_name="home", total_count=done)]
        )
        is_over = done == WANTED or shard.is_stopping
        progress = EngineProgress(
            status=SHARD_STATUS_COMPLETED if is_over else SHARD_STATUS_RUNNING,
            totals=totals,
            started_at=timestamp(self._begun),
            elapsed=duration(elapsed),
        )
        shard.engine_reported(0, EngineReport(run_id=1, progress=progress), self._now())

    def _beat(self, shard: ShardExecution) -> None:
        """A heartbeat, and what the manager answers."""
        beat = worker_heartbeat("worker-1", PORT, 1, shard.dispatch.shard_id)
        request = shard.extension_request(self._now())
        beat.extension_requests.extend([] if request is None else [request])
        self.manager.heartbeats.take(beat)
        for answer in self.manager.extensions.answer("worker-1", beat.extension_requests):
            shard.extension_answered(answer, self._now())

    def _stop_if_told(self, shard: ShardExecution) -> None:
        if self.manager.port.cancels:
            reason = StopReason(ShardStopCause.CANCELLED, "told")
            shard.stop(reason, StopStage.GRACEFUL, StopLimits(0, 1), self._now())

    def _now(self) -> Moment:
        return Moment(self.clock.now, self.clock.now)


def _content(report: ManagerReport) -> dict[str, object]:
    kind = report.WhichOneof("report")
    assert kind is not None
    return {kind: getattr(report, kind)}


def played(pace: Pace, timeout_seconds: float = TIMEOUT_SECONDS) -> tuple[World, GlobalJobResult]:
    async def play() -> tuple[World, GlobalJobResult]:
        world = World(pace, timeout_seconds)
        return world, await world.play()

    return run_in_virtual_time(play())


def test_a_job_that_is_nearly_done_at_its_timeout_gets_to_its_end() -> None:
    world, result = played(lambda elapsed: int(elapsed / 0.7))
    assert result.status == JOB_STATUS_COMPLETED
    assert 70 <= world.ended_at - world.submitted_at < 75
    assert seconds_of(result.datacenters[0].result.extended_by) == 30
    assert "its time was extended by 30 s" in [event.status.message for event in world.events]


@pytest.mark.requirement("AD-34.2")
def test_a_job_past_its_timeout_goes_on_for_the_granted_time_and_no_longer() -> None:
    """95 of 100 iterations are done within 58 s, then one comes every ten seconds, and the last one never does."""

    def pace(elapsed: float) -> int:
        return min(95, int(elapsed * 95 / 57)) if elapsed < 65 else min(99, 95 + int((elapsed - 55) / 10))

    world, result = played(pace)
    granted = seconds_of(result.datacenters[0].result.extended_by)
    assert result.status == JOB_STATUS_TIMEOUT
    assert granted == 30 + 15 + 7.5
    stopped_after = world.calls.cancelled_at[0] - world.submitted_at
    assert TIMEOUT_SECONDS + granted < stopped_after <= TIMEOUT_SECONDS + granted + 2
    assert result.errors == ["the job took longer than its timeout of 60 s, extended by 52.5 s"]


@pytest.mark.requirement("AD-34.2")
@pytest.mark.parametrize("pace", [lambda _: 0, lambda elapsed: int(elapsed / 3)], ids=["no progress", "far from done"])
def test_a_job_that_gets_no_time_ends_at_its_timeout(pace: Pace) -> None:
    world, result = played(pace)
    assert result.status == JOB_STATUS_TIMEOUT
    stopped_after = world.calls.cancelled_at[0] - world.submitted_at
    assert TIMEOUT_SECONDS < stopped_after <= TIMEOUT_SECONDS + 2
    assert not result.datacenters[0].result.HasField("extended_by")
