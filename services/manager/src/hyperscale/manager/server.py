"""Composition root: makes the parts of a manager, joins them, starts and stops them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hyperscale.manager.cancellation import JobCancellation, ShardStopper
from hyperscale.manager.completion import JobCompletion
from hyperscale.manager.config import ManagerConfig
from hyperscale.manager.dispatch import GrpcWorkerPort, PlacementOutcomes, ShardDispatcher
from hyperscale.manager.drain import Departure
from hyperscale.manager.events import JobEvents
from hyperscale.manager.extension_desk import ExtensionDesk
from hyperscale.manager.extensions import ExtensionPolicy
from hyperscale.manager.federation import DatacenterVoice
from hyperscale.manager.gate_link import GateLinkSurroundings
from hyperscale.manager.gate_links import GateLinks
from hyperscale.manager.handlers.manager_ingest_service import ManagerIngestServiceHandler
from hyperscale.manager.handlers.manager_service import ManagerServiceHandler
from hyperscale.manager.health import ManagerHealth
from hyperscale.manager.latencies import RequestLatencies
from hyperscale.manager.leadership import Leadership
from hyperscale.manager.ledger import DatacenterLedger
from hyperscale.manager.models.limits import DatacenterLimits
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
from hyperscale.manager.worker_streams import WorkerStreams
from hyperscale.runtime.channels import ChannelPool
from hyperscale.runtime.clock import Clock, SystemClock
from hyperscale.runtime.coordination import Coordinator, open_coordinator
from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.identity import NodeIdentity
from hyperscale.runtime.lifecycle import NodeLifecycle
from hyperscale.runtime.membership.node import NodeMembership
from hyperscale.runtime.membership.settings import GroupSettings, datacenter_group
from hyperscale.runtime.process import NodeContext
from hyperscale.runtime.rhythm import Rhythm
from hyperscale.runtime.server import NodeServer
from hyperscale.runtime.supervisor import RestartPolicy
from hyperscale.swim.federation import FederationResponder
from hyperscale.v1 import manager_ingest_service_pb2, manager_service_pb2
from hyperscale.v1.manager_ingest_service_pb2_grpc import add_ManagerIngestServiceServicer_to_server
from hyperscale.v1.manager_service_pb2_grpc import add_ManagerServiceServicer_to_server
from hyperscale.v1.node_pb2 import NODE_ROLE_MANAGER


async def serve(context: NodeContext[ManagerConfig]) -> None:
    """Run a manager until it is to drain."""
    coordinator = open_coordinator(context.config.store_url)
    try:
        manager = ManagerNode(context, coordinator, SystemClock())
        await manager.start()
        await context.drain_requested.wait()
        await manager.stop()
    finally:
        await coordinator.close()


@dataclass(frozen=True, slots=True)
class _Core:
    """What nearly every part needs."""

    node: NodeLifecycle
    clock: Clock
    woken: asyncio.Event
    beats: Rhythm
    state: ManagerState
    workers: WorkerRegistry
    leadership: Leadership
    ledger: DatacenterLedger
    reports: GateReports
    events: JobEvents
    progression: JobProgression
    latencies: RequestLatencies
    health: ManagerHealth
    channels: ChannelPool


class ManagerNode:
    """A manager: one core, the parts that act on it, the server and the links to gates."""

    def __init__(self, context: NodeContext[ManagerConfig], coordinator: Coordinator, clock: Clock) -> None:
        config = context.config
        self._context = context
        self._core = core = _core(context, coordinator, clock)
        supervisor = context.supervisor
        port = GrpcWorkerPort(core.channels, config.shard_dispatch_deadline_seconds)
        self._stopper = ShardStopper(core.leadership, core.workers, port, supervisor)
        self._outcomes = PlacementOutcomes(core.workers, core.progression, config.refusal_hold_seconds)
        self._scheduler = Scheduler(
            state=core.state,
            workers=core.workers,
            progression=core.progression,
            dispatcher=self._dispatcher(port),
            woken=core.woken,
            interval_seconds=config.scheduling_interval_seconds,
        )
        self._reporter = JobReporter(
            state=core.state,
            health=core.health,
            reports=core.reports,
            beats=core.beats,
            interval_seconds=config.report_interval_seconds,
            clock=core.clock,
        )
        completion = JobCompletion(
            state=core.state,
            leadership=core.leadership,
            ledger=core.ledger,
            reports=core.reports,
            supervisor=supervisor,
        )
        for observer in (self._stopper, self._scheduler, self._reporter, completion):
            core.events.subscribe(observer)
        group = GroupSettings.of(config, datacenter_group(config.datacenter), config.managers)
        self._membership = NodeMembership(core.node, group, core.channels, supervisor, context.logger)
        self._membership.observe(core.workers)
        voice = DatacenterVoice(core.health, core.leadership, core.state, self._membership, clock)
        self._membership.federate(FederationResponder(config.datacenter, voice))
        around = GateLinkSurroundings(core.channels, core.health, core.reports, supervisor, context.logger)
        self._gates = GateLinks(config.gates, around, clock)
        self._server = NodeServer(Endpoint(config.host, config.port), context.logger, insecure=config.insecure)
        self._add_services()

    async def start(self) -> None:
        """Listen, then begin to act; ready once it knows who leads, and a gate, where there is one, has welcomed it."""
        core, supervisor = self._core, self._context.supervisor
        config = self._context.config
        endpoint = await self._membership.listen(self._server, Endpoint(config.host, config.port))
        core.node.listens_at(Endpoint(config.advertise_host or endpoint.host, endpoint.port))
        core.node.activate()
        await self._membership.start(core.health.vitals)
        duties = LeaderDuties(
            identity=core.node.identity,
            state=core.state,
            workers=core.workers,
            ledger=core.ledger,
            reports=core.reports,
            clock=core.clock,
            logger=self._context.logger,
        )
        upkeep = Upkeep(
            state=core.state,
            workers=core.workers,
            progression=core.progression,
            reports=core.reports,
            clock=core.clock,
            logger=self._context.logger,
        )
        for name, work in {
            "leadership": lambda: core.leadership.run(duties),
            "scheduling": self._scheduler.run,
            "upkeep": upkeep.run,
            "report-changes": self._reporter.report_changes,
            "report-regularly": self._reporter.report_regularly,
            "heartbeats": lambda: self._reporter.beat(self._gates),
        }.items():
            _ = supervisor.start(work, name=name, restart=RestartPolicy.ON_FAILURE)
        self._gates.start()
        _ = supervisor.start(self._announce(), name="announcement")

    async def stop(self) -> None:
        """Drain."""
        core, context = self._core, self._context
        await self._server.set_serving(False)
        departure = Departure(
            node=core.node,
            state=core.state,
            leadership=core.leadership,
            progression=core.progression,
            reports=core.reports,
            settle_seconds=context.config.settle_seconds,
        )
        await departure.leave(context.drain_seconds_left / 2)
        await self._gates.stop()
        await self._membership.stop()
        await self._server.drain(context.drain_seconds_left / 2)
        await core.channels.close()

    async def _announce(self) -> None:
        if self._context.config.gates:
            await self._core.reports.wait_met()
        await self._core.leadership.leader_known()
        await self._server.set_serving(True)
        self._context.announce_ready(self._core.node.endpoint)

    def _dispatcher(self, port: GrpcWorkerPort) -> ShardDispatcher:
        return ShardDispatcher(
            manager_id=self._context.config.node_id,
            state=self._core.state,
            ledger=self._core.ledger,
            port=port,
            placements=self._outcomes,
            supervisor=self._context.supervisor,
            clock=self._core.clock,
        )

    def _add_services(self) -> None:
        core, config = self._core, self._context.config
        limits = DatacenterLimits(config.max_active_jobs, config.drift_tolerance_seconds)
        intake = JobIntake(
            state=core.state,
            leadership=core.leadership,
            ledger=core.ledger,
            progression=core.progression,
            reports=core.reports,
            clock=core.clock,
            limits=limits,
        )
        cancellation = JobCancellation(
            state=core.state,
            leadership=core.leadership,
            ledger=core.ledger,
            progression=core.progression,
            finals=core.reports,
            grace_seconds=config.cancel_grace_seconds,
        )
        queries = WorkflowQueries(core.state, core.leadership, core.ledger)
        progress = ProgressIngest(core.state, core.progression, core.latencies, core.clock, self._context.supervisor)
        heartbeats = HeartbeatIngest(core.state, core.workers, core.progression, self._outcomes, self._stopper)
        extensions = ExtensionDesk(
            ExtensionPolicy(config.extension_seconds),
            state=core.state,
            ledger=core.ledger,
            reporter=self._reporter,
            supervisor=self._context.supervisor,
            clock=core.clock,
            logger=self._context.logger,
        )
        streams = WorkerStreams(
            workers=core.workers, heartbeats=heartbeats, progress=progress, extensions=extensions, health=core.health
        )
        self._server.add(
            add_ManagerServiceServicer_to_server,
            ManagerServiceHandler(intake, cancellation, queries, core.health, self._context.supervisor),
            manager_service_pb2.DESCRIPTOR.services_by_name["ManagerService"].full_name,
        )
        self._server.add(
            add_ManagerIngestServiceServicer_to_server,
            ManagerIngestServiceHandler(streams),
            manager_ingest_service_pb2.DESCRIPTOR.services_by_name["ManagerIngestService"].full_name,
        )


def _core(context: NodeContext[ManagerConfig], coordinator: Coordinator, clock: Clock) -> _Core:
    config = context.config
    node = NodeLifecycle(NodeIdentity.of(config, NODE_ROLE_MANAGER))
    woken, state, events = asyncio.Event(), ManagerState(), JobEvents()
    beats = Rhythm(config.report_interval_seconds)

    def on_worker_change() -> None:
        woken.set()
        beats.hasten()

    workers = WorkerRegistry(node.identity, clock, config.worker_loss_grace_seconds, on_worker_change)
    leadership = Leadership(
        coordinator=coordinator,
        node=node,
        clock=clock,
        supervisor=context.supervisor,
        logger=context.logger,
        ttl_seconds=config.leader_lease_ttl_seconds,
        on_change=beats.hasten,
    )
    latencies = RequestLatencies(clock)
    return _Core(
        node=node,
        clock=clock,
        woken=woken,
        beats=beats,
        state=state,
        workers=workers,
        leadership=leadership,
        ledger=DatacenterLedger(coordinator, leadership, config.ended_job_retention_seconds),
        reports=GateReports(config.datacenter, config.report_buffer_size),
        events=events,
        progression=JobProgression(workers, events, clock, config.shard_patience),
        latencies=latencies,
        health=ManagerHealth(
            node=node, state=state, workers=workers, leadership=leadership, latencies=latencies, clock=clock
        ),
        channels=ChannelPool(context.supervisor),
    )
