"""A whole manager in memory: real parts on a memory store and a clock that the test turns; only workers are doubles.

Leases have a clock of their own, so that turning the manager's does not depose it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from hyperscale.manager.cancellation import JobCancellation, ShardStopper
from hyperscale.manager.completion import JobCompletion
from hyperscale.manager.dispatch import PlacementOutcomes, ShardDispatcher
from hyperscale.manager.events import JobEvents
from hyperscale.manager.extension_desk import ExtensionDesk
from hyperscale.manager.extensions import ExtensionPolicy
from hyperscale.manager.health import ManagerHealth
from hyperscale.manager.latencies import RequestLatencies
from hyperscale.manager.leadership import Leadership
from hyperscale.manager.ledger import DatacenterLedger
from hyperscale.manager.models.job import DatacenterJob
from hyperscale.manager.models.limits import DatacenterLimits, ShardPatience
from hyperscale.manager.progression import JobProgression
from hyperscale.manager.queries import WorkflowQueries
from hyperscale.manager.recovery import LeaderDuties
from hyperscale.manager.registry import WorkerRegistry
from hyperscale.manager.reporting import GateReports, JobReporter
from hyperscale.manager.scheduling import Scheduler
from hyperscale.manager.state import ManagerState
from hyperscale.manager.submission import JobIntake
from hyperscale.manager.sync import HeartbeatIngest, ProgressIngest
from hyperscale.manager.upkeep import Upkeep
from hyperscale.runtime.clock import SystemClock
from hyperscale.runtime.coordination import MemoryStore, memory_coordinator
from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.errors import HyperscaleError
from hyperscale.runtime.identity import NodeIdentity
from hyperscale.runtime.lifecycle import NodeLifecycle
from hyperscale.runtime.logs import get_logger
from hyperscale.runtime.rhythm import Rhythm
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1.dispatch_pb2 import (
    JobDispatch,
    WorkflowCancelRequest,
    WorkflowCancelResponse,
    WorkflowDispatch,
    WorkflowDispatchAck,
)
from hyperscale.v1.job_pb2 import JobFinalResult, JobSubmission, WorkflowStatus
from hyperscale.v1.node_pb2 import NODE_ROLE_MANAGER, OverloadState
from hyperscale.v1.progress_pb2 import (
    SHARD_STATUS_COMPLETED,
    SHARD_STATUS_RUNNING,
    ManagerReport,
    ShardStatus,
    WorkerHeartbeat,
    WorkflowProgress,
)
from hyperscale.v1.statistics_pb2 import StatsWindow
from hyperscale.v1.workflow_pb2 import Workflow
from hyperscale.workload.timestamps import duration, timestamp
from tests.support.shards import CLUSTER, DATACENTER, ENVIRONMENT, progress_of, stats, worker_heartbeat
from tests.support.waiting import until

GATE = "gate-1"
GATE_ADDRESS = "127.0.0.1:1"
SETTLE_SECONDS = 5.0


class TurnedClock:
    """Time moves when the test says so."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


def dispatch(job_id: str, *workflows: Workflow, fence: int = 1) -> JobDispatch:
    submission = JobSubmission(target="http://127.0.0.1:9", workflows=workflows)
    return JobDispatch(job_id=job_id, fence_token=fence, gate_id=GATE, submission=submission)


@dataclass(slots=True)
class DoubleOfWorkers:
    """Every worker of the datacenter: remembers what it was asked, refuses when told to."""

    orders: list[tuple[int, WorkflowDispatch]] = field(default_factory=list)
    cancels: list[tuple[int, WorkflowCancelRequest]] = field(default_factory=list)
    refusals: dict[int, HyperscaleError] = field(default_factory=dict)
    lost_answers: dict[int, HyperscaleError] = field(default_factory=dict)

    async def dispatch(self, endpoint: Endpoint, order: WorkflowDispatch) -> WorkflowDispatchAck:
        await asyncio.sleep(0)
        if endpoint.port in self.refusals:
            raise self.refusals[endpoint.port]
        self.orders.append((endpoint.port, order))
        if endpoint.port in self.lost_answers:
            raise self.lost_answers[endpoint.port]
        return WorkflowDispatchAck(shard_id=order.shard_id, cores_assigned=order.cores)

    async def cancel(self, endpoint: Endpoint, request: WorkflowCancelRequest) -> WorkflowCancelResponse:
        await asyncio.sleep(0)
        if endpoint.port in self.refusals:
            raise self.refusals[endpoint.port]
        self.cancels.append((endpoint.port, request))
        return WorkflowCancelResponse(cancelling_shard_ids=[one.shard_id for one in request.shards])

    def stopped(self) -> list[tuple[int, str]]:
        """Shards that were to be stopped, with the ports of their workers."""
        return [(port, one.shard_id) for port, request in self.cancels for one in request.shards]

    def order(self, shard_id: str) -> WorkflowDispatch:
        """The latest accepted order of a shard."""
        return [order for _, order in self.orders if order.shard_id == shard_id][-1]

    def workflows(self) -> list[str]:
        """Names of the workflows in the order in which their shards were accepted."""
        return [order.workflow.name for _, order in self.orders]


class ManagerInMemory:
    """The parts of a manager as its composition root joins them."""

    def __init__(self, node_id: str, store: MemoryStore, clock: TurnedClock, max_active_jobs: int = 1000) -> None:
        self.clock = clock
        self.port = DoubleOfWorkers()
        self.supervisor = Supervisor(node_id, get_logger(node_id))
        identity = NodeIdentity(node_id, NODE_ROLE_MANAGER, DATACENTER, CLUSTER, ENVIRONMENT)
        self.node = node = NodeLifecycle(identity)
        node.listens_at(Endpoint("127.0.0.1", 7000))
        node.activate()
        woken = asyncio.Event()
        self.beats = Rhythm(60, 0)
        coordinator = memory_coordinator(store)
        self.state = ManagerState()
        self.workers = WorkerRegistry(identity, clock, 3.0, self._on_worker_change(woken))
        self.leadership = Leadership(
            coordinator=coordinator,
            node=node,
            clock=SystemClock(),
            supervisor=self.supervisor,
            logger=get_logger(node_id),
            ttl_seconds=0.2,
            on_change=self.beats.hasten,
        )
        self.ledger = DatacenterLedger(coordinator, self.leadership, 3600)
        self.reports = GateReports(DATACENTER, 1000)
        self.outbox = self.reports.open(GATE_ADDRESS)
        self.events = JobEvents()
        self.progression = JobProgression(self.workers, self.events, clock, ShardPatience(SETTLE_SECONDS, 30.0, 30.0))
        self.latencies = RequestLatencies(clock)
        self.health = ManagerHealth(
            node=node,
            state=self.state,
            workers=self.workers,
            leadership=self.leadership,
            latencies=self.latencies,
            clock=clock,
        )
        self._join_actors(woken)
        self._join_requests(identity, max_active_jobs)
        self._connections: dict[str, int] = {}
        self._sequences: dict[str, int] = defaultdict(int)
        self._begun: dict[str, float] = {}

    def _on_worker_change(self, woken: asyncio.Event) -> Callable[[], None]:
        def wake() -> None:
            woken.set()
            self.beats.hasten()

        return wake

    def _join_actors(self, woken: asyncio.Event) -> None:
        self.stopper = ShardStopper(self.leadership, self.workers, self.port, self.supervisor)
        placements = PlacementOutcomes(self.workers, self.progression, 1.0)
        dispatcher = ShardDispatcher(
            manager_id="manager-1",
            state=self.state,
            ledger=self.ledger,
            port=self.port,
            placements=placements,
            supervisor=self.supervisor,
            clock=self.clock,
        )
        self.scheduler = Scheduler(
            state=self.state,
            workers=self.workers,
            progression=self.progression,
            dispatcher=dispatcher,
            woken=woken,
            interval_seconds=0.02,
        )
        self.reporter = JobReporter(
            state=self.state,
            health=self.health,
            reports=self.reports,
            beats=self.beats,
            interval_seconds=1.0,
            clock=self.clock,
        )
        completion = JobCompletion(
            state=self.state,
            leadership=self.leadership,
            ledger=self.ledger,
            reports=self.reports,
            supervisor=self.supervisor,
        )
        for observer in (self.stopper, self.scheduler, self.reporter, completion):
            self.events.subscribe(observer)
        self.progress = ProgressIngest(self.state, self.progression, self.latencies, self.clock, self.supervisor)
        self.heartbeats = HeartbeatIngest(self.state, self.workers, self.progression, placements, self.stopper)
        self.extensions = ExtensionDesk(
            ExtensionPolicy(30.0),
            state=self.state,
            ledger=self.ledger,
            reporter=self.reporter,
            supervisor=self.supervisor,
            clock=self.clock,
            logger=get_logger("manager"),
        )

    def _join_requests(self, identity: NodeIdentity, max_active_jobs: int) -> None:
        logger = get_logger(identity.node_id)
        self.intake = JobIntake(
            state=self.state,
            leadership=self.leadership,
            ledger=self.ledger,
            progression=self.progression,
            reports=self.reports,
            clock=self.clock,
            limits=DatacenterLimits(max_active_jobs, 0.25),
        )
        self.cancellation = JobCancellation(
            state=self.state,
            leadership=self.leadership,
            ledger=self.ledger,
            progression=self.progression,
            finals=self.reports,
            grace_seconds=15,
        )
        self.queries = WorkflowQueries(self.state, self.leadership, self.ledger)
        self.upkeep = Upkeep(
            state=self.state,
            workers=self.workers,
            progression=self.progression,
            reports=self.reports,
            clock=self.clock,
            logger=logger,
        )
        self.duties = LeaderDuties(
            identity=identity,
            state=self.state,
            workers=self.workers,
            ledger=self.ledger,
            reports=self.reports,
            clock=self.clock,
            logger=logger,
        )

    async def __aenter__(self) -> Self:
        _ = self.supervisor.start(self.leadership.run(self.duties), name="leadership")
        _ = self.supervisor.start(self.scheduler.run(), name="scheduling")
        self.reports.met(GATE_ADDRESS, GATE)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.supervisor.stop(1.0)

    async def lead(self) -> None:
        """Wait until this manager leads."""
        await until(lambda: self.leadership.is_ready)

    def join(self, worker_id: str, port: int, cores: int) -> None:
        """A worker registers and opens its stream."""
        self.workers.register(worker_heartbeat(worker_id, port, cores))
        self._connections[worker_id] = self.workers.connect(worker_id)

    def fares(self, worker_id: str, overload: OverloadState.ValueType) -> None:
        """A worker says in a heartbeat whether it does its work in time."""
        (known,) = [one.heartbeat for one in self.workers.statuses() if one.heartbeat.node.node_id == worker_id]
        heartbeat = WorkerHeartbeat()
        heartbeat.CopyFrom(known)
        heartbeat.node.overload = overload
        self.heartbeats.take(heartbeat)

    def part(self, worker_id: str) -> None:
        """The stream of a worker breaks."""
        self.workers.disconnect(worker_id, self._connections.pop(worker_id))

    def report(
        self,
        worker_id: str,
        shard_id: str,
        status: ShardStatus.ValueType = SHARD_STATUS_RUNNING,
        requests: int = 0,
        **fields: object,
    ) -> WorkflowProgress:
        """A worker reports on the shard it was given last under that id; returns the report."""
        order = self.port.order(shard_id)
        self._sequences[shard_id] += 1
        begun = self._begun.setdefault(shard_id, self.clock.wall())
        times = {"started_at": timestamp(begun), "elapsed": duration(self.clock.wall() - begun)}
        progress = progress_of(order, self._sequences[shard_id], requests, status=status, **times)
        progress.MergeFrom(WorkflowProgress(**fields))  # type: ignore[arg-type]
        self.progress.take(worker_id, progress)
        return progress

    def run(self, worker_id: str, shard_id: str, requests: int = 10) -> None:
        """A worker runs a shard to its end."""
        self.report(worker_id, shard_id)
        self.report(worker_id, shard_id, SHARD_STATUS_COMPLETED, requests)

    def window(self, second: int, workflow_name: str, requests: int) -> StatsWindow:
        """One second of a shard."""
        return StatsWindow(window_start=timestamp(second), stats=stats(workflow_name, requests))

    def job(self, job_id: str) -> DatacenterJob:
        """An unfinished job."""
        job = self.state.find(job_id)
        assert job is not None
        return job

    def status(self, job_id: str, name: str) -> str:
        """Short name of a workflow's status."""
        status = self.job(job_id).workflows[name].lifecycle.status
        return WorkflowStatus.Name(status).removeprefix("WORKFLOW_STATUS_")

    async def sent(self) -> list[ManagerReport]:
        """Take everything that waits for the gate, and acknowledge it."""
        self.reporter.flush()
        taken = [await self.outbox.next() for _ in range(len(self.outbox) - self.outbox.sent_count)]
        if taken:
            self.outbox.ack(taken[-1].sequence)
        return [outgoing.report for outgoing in taken]

    async def final(self, job_id: str) -> JobFinalResult:
        """Wait for the end of a job; returns what the gate is told."""
        await until(lambda: self.state.find(job_id) is None)
        return next(r.final_result for r in reversed(await self.sent()) if r.final_result.job_id == job_id)
