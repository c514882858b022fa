"""The composition root of a gate: wires and starts, holds no logic."""

from __future__ import annotations

import random
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from hyperscale.gate.cancellation import CancelCourier, JobCanceller
from hyperscale.gate.candidates import DatacenterCandidates
from hyperscale.gate.census import NodeCensus
from hyperscale.gate.closing import JobCloser
from hyperscale.gate.conductor import JobConductor, JobSteering
from hyperscale.gate.config import GateConfig
from hyperscale.gate.datacenter_calls import DatacenterCaller, GrpcManagerCalls, ManagerCalls
from hyperscale.gate.dispatch import Dispatcher
from hyperscale.gate.draining import GateDrain
from hyperscale.gate.fallback import FallbackChain
from hyperscale.gate.federation import DatacenterWatch
from hyperscale.gate.forwarding import OwnerGates
from hyperscale.gate.gate_directory import GateDirectory
from hyperscale.gate.handlers.gate_ingest_service import GateIngestServiceHandler
from hyperscale.gate.handlers.gate_service import GateServiceHandler
from hyperscale.gate.handover import JobHandover
from hyperscale.gate.job_desk import JobDesk
from hyperscale.gate.known_jobs import KnownJobs
from hyperscale.gate.leases import JobLeases
from hyperscale.gate.orphans import OrphanAlarm, OrphanSearch, TakeoverOrder
from hyperscale.gate.overview import DatacenterOverview, GateViews, JobListing, WorkflowFanOut
from hyperscale.gate.ownership import GateRing, JobOwnership
from hyperscale.gate.peers import ManagerPeers
from hyperscale.gate.recovery import JobRecovery
from hyperscale.gate.registration import ManagerRegistrations
from hyperscale.gate.registry import ManagerRegistry
from hyperscale.gate.retention import JobRetention
from hyperscale.gate.reunion import DatacenterReunion
from hyperscale.gate.routing import DatacenterRouting
from hyperscale.gate.routing_journal import RoutingJournal
from hyperscale.gate.second_look import SecondLook
from hyperscale.gate.stage_entry import JobCourse
from hyperscale.gate.state import GateState
from hyperscale.gate.store import JobStore
from hyperscale.gate.submission import DatacenterChoice, JobAcceptances, JobRuns, JobSubmissions
from hyperscale.gate.sync import ReportIngestion, StrayReports
from hyperscale.gate.timeouts import JobDeadlines
from hyperscale.runtime.channels import ChannelPool
from hyperscale.runtime.circuits import Circuits
from hyperscale.runtime.clock import Clock, SystemClock
from hyperscale.runtime.coordination import Coordinator, open_coordinator
from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.identity import NodeIdentity
from hyperscale.runtime.lifecycle import NodeLifecycle
from hyperscale.runtime.membership.node import NodeMembership
from hyperscale.runtime.membership.settings import GATES_GROUP, GroupSettings
from hyperscale.runtime.process import NodeContext
from hyperscale.runtime.server import NodeServer
from hyperscale.runtime.supervisor import RestartPolicy, Supervisor
from hyperscale.runtime.telemetry import Meter
from hyperscale.v1.gate_ingest_service_pb2_grpc import add_GateIngestServiceServicer_to_server
from hyperscale.v1.gate_service_pb2_grpc import add_GateServiceServicer_to_server
from hyperscale.v1.node_pb2 import NODE_ROLE_GATE

_GATE_SERVICE = "hyperscale.v1.GateService"
_GATE_INGEST_SERVICE = "hyperscale.v1.GateIngestService"


@dataclass(frozen=True, slots=True)
class GateSurroundings:
    """What a gate does not make itself: its store, its ways to managers and other gates, its time and its tasks.

    What it does is told through the last two.
    """

    coordinator: Coordinator
    calls: ManagerCalls
    pool: ChannelPool
    supervisor: Supervisor
    clock: Clock
    logger: FilteringBoundLogger
    meter: Meter


class JobMachinery:
    """The parts that take jobs from their acceptance to their end, put together."""

    def __init__(self, config: GateConfig, identity: NodeIdentity, around: GateSurroundings) -> None:
        supervisor, clock, limits = around.supervisor, around.clock, config.job_limits
        self.state = GateState(config.max_active_jobs)
        self.store = JobStore(around.coordinator)
        self.leases = JobLeases(around.coordinator, config.node_id, config.lease_ttl_seconds, supervisor, clock)
        self.registry = ManagerRegistry(identity, config.manager_loss_grace_seconds, clock, config.slo_target_ms)
        self.watch = DatacenterWatch(self.registry, config.membership_profile.federation, around.logger)
        self.circuits = Circuits(config.circuit_policy, clock)
        self.caller = DatacenterCaller(self.registry, self.circuits, clock, config.manager_loss_grace_seconds)
        candidates = DatacenterCandidates(self.registry, self.watch, self.caller, clock)
        self.routing = DatacenterRouting(candidates, RoutingJournal(around.meter, around.logger), clock, config.routing)
        self.peers = ManagerPeers(
            gate_id=config.node_id,
            registry=self.registry,
            caller=self.caller,
            circuits=self.circuits,
            clock=clock,
            dice=random.Random(),
        )
        self.courier = CancelCourier(self.caller, around.calls, supervisor, clock, config.cancel_delivery_seconds)
        self.closer = JobCloser(self.store, self.leases, supervisor, clock)
        deadlines = JobDeadlines(self.watch, self.routing, limits, clock)
        fallback = FallbackChain(
            routing=self.routing,
            store=self.store,
            courier=self.courier,
            deadlines=deadlines,
            supervisor=supervisor,
            clock=clock,
        )
        steering = JobSteering(
            dispatcher=Dispatcher(
                handover=JobHandover(self.caller, around.calls, self.routing, clock),
                fallback=fallback,
                routing=self.routing,
                supervisor=supervisor,
                clock=clock,
                gate_id=config.node_id,
                deadline_seconds=config.dispatch_deadline_seconds,
            ),
            deadlines=deadlines,
            courier=self.courier,
            closer=self.closer,
            course=JobCourse(self.store, self.routing, supervisor),
            supervisor=supervisor,
            clock=clock,
        )
        second_look = SecondLook(self.routing, self.registry, clock, config.routing_patience_seconds)
        self.choice = DatacenterChoice(self.registry, self.routing, second_look, self.store)
        self.runs = JobRuns(self.state, JobConductor(steering, self.state, self.routing, supervisor), limits, clock)


class OtherGates:
    """The parts that know the other gates: who they are, which jobs are theirs, which of these nobody has any more."""

    def __init__(
        self, config: GateConfig, lifecycle: NodeLifecycle, jobs: JobMachinery, around: GateSurroundings
    ) -> None:
        supervisor, clock, logger = around.supervisor, around.clock, around.logger
        group = GroupSettings.of(config, GATES_GROUP, config.gates)
        self.membership = NodeMembership(lifecycle, group, around.pool, supervisor, logger)
        self.membership.federate(jobs.watch)
        self.directory = GateDirectory(lifecycle, self.membership)
        self.reunion = DatacenterReunion(jobs.registry, clock, config.manager_loss_grace_seconds)
        ring = GateRing(lifecycle, self.membership, self.reunion)
        self.owners = OwnerGates(around.pool, config.call_timeout_seconds)
        self.ownership = JobOwnership(ring, self.owners, supervisor, logger)
        alarm = OrphanAlarm(config.lease_ttl_seconds, clock)
        self.membership.observe(alarm)
        self.orphans = OrphanSearch(
            state=jobs.state,
            store=jobs.store,
            leases=jobs.leases,
            order=TakeoverOrder(ring, clock),
            alarm=alarm,
            logger=logger,
        )


class GateNode:
    """One gate: what it offers and what it does on its own, around the machinery of its jobs."""

    def __init__(self, config: GateConfig, around: GateSurroundings) -> None:
        self._config = config
        self._supervisor = supervisor = around.supervisor
        identity = NodeIdentity.of(config, NODE_ROLE_GATE)
        self.lifecycle = NodeLifecycle(identity)
        self.jobs = jobs = JobMachinery(config, identity, around)
        self.others = others = OtherGates(config, self.lifecycle, jobs, around)
        known = KnownJobs(jobs.store, jobs.leases, around.clock, config.call_timeout_seconds)
        self.submissions = JobSubmissions(
            lifecycle=self.lifecycle,
            choice=jobs.choice,
            ownership=others.ownership,
            known=known,
            acceptances=JobAcceptances(jobs.store, jobs.leases, jobs.runs, known),
            runs=jobs.runs,
            clock=around.clock,
        )
        canceller = JobCanceller(jobs.store, around.clock)
        self.desk = JobDesk(config.node_id, jobs.state, jobs.store, others.owners, canceller)
        self.listing = JobListing(jobs.store)
        self.queries = WorkflowFanOut(self.desk, jobs.registry, jobs.caller, around.calls)
        self.views = GateViews(
            lifecycle=self.lifecycle,
            overview=DatacenterOverview(jobs.registry, jobs.watch, jobs.routing),
            state=jobs.state,
            census=NodeCensus(others.membership, jobs.registry, jobs.peers, around.calls, config.call_timeout_seconds),
            reunion=others.reunion,
        )
        self.registrations = ManagerRegistrations(jobs.registry, jobs.store, jobs.circuits)
        self.strays = StrayReports(jobs.store, jobs.courier, supervisor)
        self.ingestion = ReportIngestion(jobs.state, jobs.registry, self.strays, others.directory, supervisor)
        self.recovery = JobRecovery(
            gate_id=config.node_id,
            store=jobs.store,
            leases=jobs.leases,
            closer=jobs.closer,
            courier=jobs.courier,
            runs=jobs.runs,
            supervisor=supervisor,
        )
        self.retention = JobRetention(jobs.store, config.completed_job_retention_seconds, supervisor, around.clock)
        self.drain = GateDrain(
            gate_id=config.node_id,
            state=jobs.state,
            leases=jobs.leases,
            closer=jobs.closer,
            courier=jobs.courier,
            supervisor=supervisor,
        )

    def add_to(self, server: NodeServer) -> None:
        """Offer the services of a gate."""
        front = GateServiceHandler(
            lifecycle=self.lifecycle,
            submissions=self.submissions,
            desk=self.desk,
            listing=self.listing,
            queries=self.queries,
            views=self.views,
            supervisor=self._supervisor,
        )
        ingest = GateIngestServiceHandler(self.lifecycle, self.registrations, self.ingestion)
        server.add(add_GateServiceServicer_to_server, front, _GATE_SERVICE)
        server.add(add_GateIngestServiceServicer_to_server, ingest, _GATE_INGEST_SERVICE)

    async def recover(self) -> None:
        """Load what gates remember, and end the jobs of this gate's earlier life."""
        known = await self.jobs.store.datacenters()
        self.jobs.registry.restore(known)
        self.others.reunion.expect(known)
        await self.recovery.end_own()

    def activate(self) -> None:
        """Take calls, and begin what runs for as long as the gate does."""
        self.lifecycle.activate()
        sweep_seconds = self._config.retention_sweep_seconds
        loops = {
            "lease-renewal": lambda: self.jobs.leases.keep(self.jobs.state),
            "orphan-search": lambda: self.recovery.end_orphans(self.others.orphans),
            "retention": lambda: self.retention.keep_sweeping(sweep_seconds),
        }
        for name, loop in loops.items():
            _ = self._supervisor.start(loop, name=name, restart=RestartPolicy.ON_FAILURE)


async def serve_gate(context: NodeContext[GateConfig]) -> None:
    """Run a gate until it is asked to drain."""
    config = context.config
    coordinator = open_coordinator(config.store_url)
    pool = ChannelPool(context.supervisor, default_deadline_seconds=config.call_timeout_seconds)
    calls = GrpcManagerCalls(pool, config.call_timeout_seconds)
    around = GateSurroundings(
        coordinator, calls, pool, context.supervisor, SystemClock(), context.logger, context.meter
    )
    gate = GateNode(config, around)
    listening = Endpoint(config.host, config.port)
    server = NodeServer(listening, context.logger, insecure=config.insecure)
    gate.add_to(server)
    endpoint = await gate.others.membership.listen(server, listening)
    gate.lifecycle.listens_at(Endpoint(config.advertise_host or endpoint.host, endpoint.port))
    try:
        await gate.recover()
        gate.activate()
        await gate.others.membership.start(gate.views.vitals)
        await server.set_serving(True)
        context.announce_ready(endpoint)
        await context.drain_requested.wait()
        gate.lifecycle.drain()
        await server.set_serving(False)
        await gate.drain.end_jobs(context.drain_seconds_left / 2)
    finally:
        await gate.others.membership.stop()
        await server.drain(context.drain_seconds_left)
        await pool.close()
        await coordinator.close()
