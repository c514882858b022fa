"""Shards whose manager is gone: they go on for a grace, then stop; their results wait for the manager's return."""

from __future__ import annotations

import asyncio

from hyperscale.runtime.clock import Clock
from hyperscale.worker.models.shards import ShardStopCause, StopReason
from hyperscale.worker.shard_runs import ShardRuns

_CHECK_INTERVAL_SECONDS = 0.5


class OrphanWatch:
    """Stops shards that nobody asks for any more.

    Parameters
    ----------
    grace_seconds
        How long a manager may be out of reach.
    """

    def __init__(self, runs: ShardRuns, clock: Clock, grace_seconds: float) -> None:
        self._runs = runs
        self._clock = clock
        self._grace_seconds = grace_seconds

    async def watch(self) -> None:
        """Check from time to time, for ever."""
        while True:
            self.stop_orphans()
            await asyncio.sleep(_CHECK_INTERVAL_SECONDS)

    def stop_orphans(self) -> None:
        """Stop the shards whose manager has been out of reach for longer than the grace."""
        now = self._clock.monotonic()
        for shard_id, run in self._runs.active.items():
            down_since = run.manager_down_since
            if run.is_stopping or down_since is None or now - down_since < self._grace_seconds:
                continue
            text = f"manager {run.manager_id} was out of reach for {self._grace_seconds:g} s"
            self._runs.stop(shard_id, StopReason(ShardStopCause.BROKEN, text))
