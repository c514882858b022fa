"""Composition root of the worker."""

from __future__ import annotations

from hyperscale.runtime.channels import ChannelPool
from hyperscale.runtime.clock import SystemClock
from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.identity import NodeIdentity
from hyperscale.runtime.lifecycle import NodeLifecycle
from hyperscale.runtime.membership.node import NodeMembership
from hyperscale.runtime.membership.settings import GroupSettings, datacenter_group
from hyperscale.runtime.process import NodeContext
from hyperscale.runtime.rhythm import Rhythm
from hyperscale.runtime.server import NodeServer
from hyperscale.runtime.supervisor import RestartPolicy
from hyperscale.v1 import worker_service_pb2
from hyperscale.v1.node_pb2 import NODE_ROLE_WORKER
from hyperscale.v1.worker_service_pb2_grpc import add_WorkerServiceServicer_to_server
from hyperscale.worker.config import WorkerConfig
from hyperscale.worker.dispatch import ShardDesk
from hyperscale.worker.engine_pool import EnginePool
from hyperscale.worker.handlers.worker_service import WorkerService
from hyperscale.worker.health import Pulse
from hyperscale.worker.leases import JobLedger
from hyperscale.worker.lifecycle import WorkerLifecycle
from hyperscale.worker.manager_link import LinkSurroundings
from hyperscale.worker.models.engines import EnginePatience
from hyperscale.worker.models.shards import CodePolicy, ExecutionSettings, StopLimits
from hyperscale.worker.orphans import OrphanWatch
from hyperscale.worker.registry import ManagerLinks
from hyperscale.worker.shard_runs import ShardRuns, ShardSettings
from hyperscale.worker.state import WorkerState

_REMEMBERED_JOBS = 10_000
_WINDOW_TOLERANCE_SECONDS = 0.25
_EXTENSION_LEAD_HEARTBEATS = 5
"""That many heartbeats may ask for more time before it is too late."""
_SERVICE_NAME = worker_service_pb2.DESCRIPTOR.services_by_name["WorkerService"].full_name


async def run_worker(context: NodeContext[WorkerConfig]) -> None:
    """Run a worker until it is asked to drain."""
    await _Node(context).run()


class _Node:
    """The parts of a worker, put together."""

    def __init__(self, context: NodeContext[WorkerConfig]) -> None:
        self._context = context
        config, supervisor, logger, clock = context.config, context.supervisor, context.logger, SystemClock()
        stop_limits = StopLimits(config.cancel_grace_seconds, config.interrupt_grace_seconds)
        self._channels = ChannelPool(supervisor)
        self._node = NodeLifecycle(NodeIdentity.of(config, NODE_ROLE_WORKER))
        beats = Rhythm(config.heartbeat_interval_seconds)
        state = WorkerState(
            config.cores, JobLedger(config.fence_retention_seconds, _REMEMBERED_JOBS), self._node, beats.hasten
        )
        engines = EnginePool(
            state,
            supervisor,
            logger,
            EnginePatience(config.engine_start_timeout_seconds, config.engine_stall_seconds),
        )
        settings = ShardSettings(_execution_settings(config), stop_limits)
        runs = ShardRuns(state, engines, settings, supervisor=supervisor, clock=clock, logger=logger)
        pulse = Pulse(self._node, state, runs)
        surroundings = LinkSurroundings(self._channels, supervisor, clock, logger, config.outbox_capacity)
        self._managers = ManagerLinks(config.manager_addresses, pulse, surroundings, beats)
        group = GroupSettings.of(config, datacenter_group(config.datacenter), config.managers)
        self._membership = NodeMembership(self._node, group, self._channels, supervisor, logger)
        self._membership.observe(self._managers)
        self._pulse = pulse
        self._orphans = OrphanWatch(runs, clock, config.orphan_grace_seconds)
        self._lifecycle = WorkerLifecycle(
            self._node, state, engines, self._managers, runs, logger=logger, stop_limits=stop_limits
        )
        code_policy = CodePolicy(config.node_id, config.allow_python)
        desk = ShardDesk(state, runs, self._managers, code_policy=code_policy, clock=clock, logger=logger)
        self._server = NodeServer(Endpoint(config.host, config.port), logger, insecure=config.insecure)
        self._server.add(add_WorkerServiceServicer_to_server, WorkerService(desk, pulse), _SERVICE_NAME)

    async def run(self) -> None:
        """Serve until asked to drain, then drain."""
        context = self._context
        endpoint = await self._membership.listen(self._server, Endpoint(context.config.host, context.config.port))
        self._node.listens_at(Endpoint(context.config.advertise_host or endpoint.host, endpoint.port))
        await self._membership.start(self._pulse.vitals)
        self._lifecycle.start()
        supervisor = context.supervisor
        _ = supervisor.start(self._managers.beat_forever, name="heartbeats", restart=RestartPolicy.ON_FAILURE)
        _ = supervisor.start(self._orphans.watch, name="orphan-watch", restart=RestartPolicy.ON_FAILURE)
        serving = supervisor.start(self._serve(endpoint), name="serving")
        await context.drain_requested.wait()
        await supervisor.end({serving}, context.drain_seconds_left)
        await self._server.set_serving(False)
        await self._lifecycle.drain(context.drain_seconds_left)
        await self._membership.stop()
        await self._server.drain(context.drain_seconds_left)
        await self._channels.close()

    async def _serve(self, endpoint: Endpoint) -> None:
        await self._lifecycle.become_active()
        await self._server.set_serving(True)
        self._context.announce_ready(endpoint)


def _execution_settings(config: WorkerConfig) -> ExecutionSettings:
    return ExecutionSettings(
        worker_id=config.node_id,
        engine_stall_seconds=config.engine_stall_seconds,
        interrupt_seconds=config.interrupt_grace_seconds,
        window_tolerance_seconds=_WINDOW_TOLERANCE_SECONDS,
        extension_lead_seconds=_EXTENSION_LEAD_HEARTBEATS * config.heartbeat_interval_seconds,
    )
