"""Ended jobs are deleted, with their idempotency keys, once they have been readable for long enough."""

from __future__ import annotations

import asyncio

from hyperscale.gate.job_lifecycle import TERMINAL
from hyperscale.gate.store import JobStore
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.coordination import CoordinationUnavailableError
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1 import gate_service_pb2
from hyperscale.workload.timestamps import seconds_of

_PAGE = 100
_MAX_PAGES = 100


class JobRetention:
    """Deletes ended jobs of all gates, oldest last; several gates may do so at the same time.

    Parameters
    ----------
    retention_seconds
        From the end of a job.
    """

    def __init__(self, store: JobStore, retention_seconds: float, supervisor: Supervisor, clock: Clock) -> None:
        self._store = store
        self._retention_seconds = retention_seconds
        self._supervisor = supervisor
        self._clock = clock

    async def keep_sweeping(self, pause_seconds: float) -> None:
        """Sweep again and again."""
        while True:
            await asyncio.sleep(pause_seconds)
            try:
                await self.sweep()
            except CoordinationUnavailableError as error:
                self._supervisor.report(error, "retention")

    async def sweep(self) -> int:
        """Delete what is past its retention, up to a bound; returns how many jobs that were."""
        limit_seconds = self._clock.wall() - self._retention_seconds
        removed = 0
        after = ""
        for _ in range(_MAX_PAGES):
            summaries, after = await self._store.submitted_before(limit_seconds, _PAGE, after)
            expired = [summary for summary in summaries if _has_ended_before(summary, limit_seconds)]
            for summary in expired:
                await self._store.remove(summary)
            removed += len(expired)
            if not after:
                break
        return removed


def _has_ended_before(summary: gate_service_pb2.JobSummary, moment_seconds: float) -> bool:
    return summary.status in TERMINAL and seconds_of(summary.finished_at) < moment_seconds
