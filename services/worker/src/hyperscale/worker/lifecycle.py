"""How the worker comes into service and leaves it."""

from __future__ import annotations

import asyncio

from structlog.typing import FilteringBoundLogger

from hyperscale.runtime.lifecycle import NodeLifecycle
from hyperscale.worker.engine_pool import EnginePool
from hyperscale.worker.models.shards import ShardStopCause, StopLimits, StopReason
from hyperscale.worker.registry import ManagerLinks
from hyperscale.worker.shard_runs import ShardRuns
from hyperscale.worker.state import WorkerState

# Shares of the time that is left when a drain begins; the rest is for handing results over and closing.
_GRACEFUL_SHARE = 0.5
_INTERRUPT_SHARE = 0.2
_CLOSING_SECONDS = 1.0


class WorkerLifecycle:
    """Starts engines and links, and ends them in order."""

    def __init__(
        self,
        node: NodeLifecycle,
        state: WorkerState,
        engines: EnginePool,
        managers: ManagerLinks,
        runs: ShardRuns,
        *,
        logger: FilteringBoundLogger,
        stop_limits: StopLimits,
    ) -> None:
        self._node = node
        self._state = state
        self._engines = engines
        self._managers = managers
        self._runs = runs
        self._logger = logger
        self._stop_limits = stop_limits

    def start(self) -> None:
        """Start engines and connect to managers, in the background."""
        self._engines.start()
        self._managers.start()

    async def become_active(self) -> None:
        """Wait until every engine is ready and a manager has welcomed the worker; take work from then on."""
        await self._state.engines_ready()
        await self._managers.registered()
        self._node.activate()
        self._managers.beat()

    async def drain(self, seconds_left: float) -> None:
        """Take nothing new, stop what runs, deliver the results, end the engines."""
        deadline = asyncio.get_running_loop().time() + seconds_left
        self._node.drain()
        self._managers.beat()
        await self._stop_shards(seconds_left)
        await self._deliver(deadline - asyncio.get_running_loop().time() - _CLOSING_SECONDS)
        await self._managers.stop()
        await self._engines.stop(_CLOSING_SECONDS)

    async def _stop_shards(self, seconds_left: float) -> None:
        limits = StopLimits(
            min(self._stop_limits.graceful_seconds, seconds_left * _GRACEFUL_SHARE),
            min(self._stop_limits.interrupt_seconds, seconds_left * _INTERRUPT_SHARE),
        )
        reason = StopReason(ShardStopCause.BROKEN, f"worker {self._node.identity.node_id} was shut down")
        for shard_id in self._runs.active:
            self._runs.stop(shard_id, reason, limits)
        await self._runs.idle(seconds_left)

    async def _deliver(self, seconds_left: float) -> None:
        unsettled = await self._managers.settle(max(0.0, seconds_left))
        if unsettled:
            self._logger.error("results not delivered", managers=unsettled)
