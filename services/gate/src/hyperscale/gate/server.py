"""The composition root of a gate: wires and starts, holds no logic."""

from __future__ import annotations

from importlib.metadata import version

from hyperscale.gate.admission import Admission
from hyperscale.gate.cancellation import CancelCourier, JobCanceller
from hyperscale.gate.closing import JobCloser
from hyperscale.gate.conductor import JobConductor, JobSteering
from hyperscale.gate.config import GateConfig
from hyperscale.gate.datacenter_calls import DatacenterCaller, GrpcManagerCalls, ManagerCalls
from hyperscale.gate.dispatch import Dispatcher
from hyperscale.gate.draining import GateDrain
from hyperscale.gate.forwarding import OwnerGates
from hyperscale.gate.handlers.gate_ingest_service import GateIngestServiceHandler
from hyperscale.gate.handlers.gate_service import GateServiceHandler
from hyperscale.gate.job_desk import JobDesk
from hyperscale.gate.leases import JobLeases
from hyperscale.gate.overview import GateViews, JobListing, WorkflowQueries
from hyperscale.gate.recovery import JobRecovery
from hyperscale.gate.registration import ManagerRegistrations
from hyperscale.gate.registry import ManagerRegistry
from hyperscale.gate.retention import JobRetention
from hyperscale.gate.state import GateState
from hyperscale.gate.store import JobStore
from hyperscale.gate.submission import DatacenterChoice, JobRuns, JobSubmissions
from hyperscale.gate.sync import ReportIngestion, StrayReports
from hyperscale.gate.timeouts import JobDeadlines
from hyperscale.runtime.channels import ChannelPool
from hyperscale.runtime.clock import Clock, SystemClock
from hyperscale.runtime.coordination import Coordinator, open_coordinator
from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.process import NodeContext
from hyperscale.runtime.server import NodeServer
from hyperscale.runtime.supervisor import RestartPolicy, Supervisor
from hyperscale.v1 import node_pb2
from hyperscale.v1.gate_ingest_service_pb2_grpc import add_GateIngestServiceServicer_to_server
from hyperscale.v1.gate_service_pb2_grpc import add_GateServiceServicer_to_server

_GATE_SERVICE = "hyperscale.v1.GateService"
_GATE_INGEST_SERVICE = "hyperscale.v1.GateIngestService"


class Gate:
    """One gate: its parts, put together.

    Parameters
    ----------
    coordinator, calls, pool
        The store of the gates, and the ways to managers and to other gates.
    """

    def __init__(
        self,
        config: GateConfig,
        coordinator: Coordinator,
        *,
        calls: ManagerCalls,
        pool: ChannelPool,
        supervisor: Supervisor,
        clock: Clock,
    ) -> None:
        limits = config.job_limits
        self._config = config
        self._supervisor = supervisor
        self.admission = Admission(_home(config))
        self.registry = ManagerRegistry(self.admission.node, config.manager_loss_grace_seconds, clock)
        self.state = GateState(config.max_active_jobs)
        self.store = JobStore(coordinator)
        self.leases = JobLeases(coordinator, config.node_id, config.lease_ttl_seconds, supervisor, clock)
        caller = DatacenterCaller(self.registry)
        self.courier = CancelCourier(caller, calls, supervisor, clock, config.cancel_delivery_seconds)
        closer = JobCloser(self.store, self.leases, supervisor, clock)
        dispatcher = Dispatcher(caller, calls, supervisor, config.node_id, config.dispatch_deadline_seconds)
        deadlines = JobDeadlines(self.registry, limits, clock)
        steering = JobSteering(
            dispatcher=dispatcher,
            deadlines=deadlines,
            courier=self.courier,
            closer=closer,
            supervisor=supervisor,
            clock=clock,
        )
        runs = JobRuns(self.state, JobConductor(steering, self.state, supervisor), limits, clock)
        choice = DatacenterChoice(self.registry, self.store)
        self.submissions = JobSubmissions(
            admission=self.admission,
            region=config.region,
            choice=choice,
            store=self.store,
            leases=self.leases,
            runs=runs,
            clock=clock,
        )
        owners = OwnerGates(pool, config.call_timeout_seconds)
        self.desk = JobDesk(config.node_id, self.state, self.store, owners, JobCanceller(self.store, clock))
        self.listing = JobListing(self.store)
        self.queries = WorkflowQueries(self.desk, self.registry, caller, calls)
        self.views = GateViews(self.admission, self.registry, self.state)
        self.registrations = ManagerRegistrations(self.registry, self.store)
        self.strays = StrayReports(self.store, self.courier, supervisor)
        self.ingestion = ReportIngestion(self.state, self.registry, self.strays, supervisor)
        self.recovery = JobRecovery(
            gate_id=config.node_id,
            store=self.store,
            leases=self.leases,
            closer=closer,
            courier=self.courier,
            supervisor=supervisor,
        )
        self.retention = JobRetention(self.store, config.completed_job_retention_seconds, clock)
        self.drain = GateDrain(config.node_id, self.state, closer, self.courier, supervisor)

    def add_to(self, server: NodeServer) -> None:
        """Offer the services of a gate."""
        front = GateServiceHandler(
            admission=self.admission,
            submissions=self.submissions,
            desk=self.desk,
            listing=self.listing,
            queries=self.queries,
            views=self.views,
        )
        ingest = GateIngestServiceHandler(self.admission, self.registrations, self.ingestion)
        server.add(add_GateServiceServicer_to_server, front, _GATE_SERVICE)
        server.add(add_GateIngestServiceServicer_to_server, ingest, _GATE_INGEST_SERVICE)

    async def recover(self) -> None:
        """Load what gates remember, and end the jobs of this gate's earlier life."""
        self.registry.restore(await self.store.datacenters())
        await self.recovery.end_own()

    def activate(self, endpoint: Endpoint) -> None:
        """Take calls, and begin what runs for as long as the gate does."""
        self.admission.activate(node_pb2.Endpoint(host=endpoint.host, port=endpoint.port))
        ttl_seconds, sweep_seconds = self._config.lease_ttl_seconds, self._config.retention_sweep_seconds
        loops = {
            "lease-renewal": lambda: self.leases.keep(self.state),
            "orphan-search": lambda: self.recovery.end_orphans(self.state, ttl_seconds),
            "retention": lambda: self.retention.keep_sweeping(sweep_seconds),
        }
        for name, loop in loops.items():
            _ = self._supervisor.start(loop, name=name, restart=RestartPolicy.ON_FAILURE)


async def serve_gate(context: NodeContext[GateConfig]) -> None:
    """Run a gate until it is asked to drain."""
    config = context.config
    clock = SystemClock()
    coordinator = open_coordinator(config.store_url)
    pool = ChannelPool(context.supervisor, default_deadline_seconds=config.call_timeout_seconds)
    calls = GrpcManagerCalls(pool, config.call_timeout_seconds)
    gate = Gate(config, coordinator, calls=calls, pool=pool, supervisor=context.supervisor, clock=clock)
    server = NodeServer(Endpoint(config.host, config.port), context.logger, insecure=config.insecure)
    gate.add_to(server)
    endpoint = await server.start()
    try:
        await gate.recover()
        gate.activate(endpoint)
        await server.set_serving(True)
        context.announce_ready(endpoint)
        await context.drain_requested.wait()
        gate.admission.drain()
        await gate.drain.end_jobs(context.drain_seconds_left / 2)
    finally:
        await server.drain(context.drain_seconds_left)
        await pool.close()
        await coordinator.close()


def _home(config: GateConfig) -> node_pb2.NodeInfo:
    return node_pb2.NodeInfo(
        node_id=config.node_id,
        role=node_pb2.NODE_ROLE_GATE,
        datacenter=config.region,
        endpoint=node_pb2.Endpoint(host=config.host, port=config.port),
        state=node_pb2.NODE_STATE_SYNCING,
        cluster_id=config.cluster_id,
        environment_id=config.environment_id,
        version=version("hyperscale-gate"),
    )
