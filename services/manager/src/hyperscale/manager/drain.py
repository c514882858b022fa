"""The orderly end of a manager: what it runs ends with a reason while its counts are still at hand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable

from hyperscale.manager.leadership import Leadership
from hyperscale.manager.progression import JobProgression
from hyperscale.manager.reporting import GateReports
from hyperscale.manager.state import ManagerState
from hyperscale.runtime.lifecycle import NodeLifecycle

_ACK_SECONDS = 3.0


class Departure:
    """Ends unfinished jobs as the loss of this leader would, only sooner and with their totals, then stops leading.

    Parameters
    ----------
    settle_seconds
        How long shards may take to deliver their last totals, if there is that much time.
    """

    def __init__(
        self,
        *,
        node: NodeLifecycle,
        state: ManagerState,
        leadership: Leadership,
        progression: JobProgression,
        reports: GateReports,
        settle_seconds: float,
    ) -> None:
        self._node = node
        self._state = state
        self._leadership = leadership
        self._progression = progression
        self._reports = reports
        self._settle_seconds = settle_seconds

    async def leave(self, seconds_left: float) -> None:
        """Refuse new work, end what runs, give leadership up, within the time given."""
        self._node.drain()
        jobs = self._state.jobs()
        cause = f"manager {self._node.identity.node_id} was shut down while the job was under way"
        for job in jobs:
            self._progression.fail_job(job, cause, min(self._settle_seconds, seconds_left / 3))
        if jobs:
            await _within(seconds_left * 2 / 3, self._state.wait_empty())
            await _within(min(_ACK_SECONDS, seconds_left / 6), self._reports.wait_acknowledged())
        await self._leadership.close()


async def _within(seconds: float, condition: Awaitable[None]) -> None:
    """Wait for something that may as well not happen: a drain never takes longer than it may."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await condition
