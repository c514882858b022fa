"""What time alone brings about: workers are lost, shards are given up, windows close."""

from __future__ import annotations

import asyncio

from structlog.typing import FilteringBoundLogger

from hyperscale.manager.models.job import DatacenterJob, ShardPhase
from hyperscale.manager.models.worker import LostWorker
from hyperscale.manager.progression import JobProgression
from hyperscale.manager.registry import WorkerRegistry
from hyperscale.manager.reporting import GateReports
from hyperscale.manager.state import ManagerState
from hyperscale.manager.views import job_progress
from hyperscale.runtime.clock import Clock

_INTERVAL_SECONDS = 0.2
_IDLE_INTERVAL_SECONDS = 1.0
_NOT_HEARD_OF = frozenset({ShardPhase.PLACING, ShardPhase.UNANSWERED})
"""Shards of a lost worker that are taken not to have begun: it has neither accepted them nor reported on them."""


class Upkeep:
    """Looks at the clock five times a second; once when there is no job, since being woken is most of what an idle node costs."""

    def __init__(
        self,
        *,
        state: ManagerState,
        workers: WorkerRegistry,
        progression: JobProgression,
        reports: GateReports,
        clock: Clock,
        logger: FilteringBoundLogger,
    ) -> None:
        self._state = state
        self._workers = workers
        self._progression = progression
        self._reports = reports
        self._clock = clock
        self._logger = logger

    async def run(self) -> None:
        """Look at the clock until cancelled."""
        while True:
            self.tick()
            await asyncio.sleep(_INTERVAL_SECONDS if self._state.jobs() else _IDLE_INTERVAL_SECONDS)

    def tick(self) -> None:
        """Do whatever is due."""
        for loss in self._workers.remove_lost():
            self._logger.warning("worker lost", worker_id=loss.worker_id, cause=loss.cause)
            self._fail_shards_of(loss)
        for job in self._state.jobs():
            self._progression.give_up_overdue(job)
            self._progression.give_up_waiting(job)
            self._progression.give_up_late(job)
            self._send_seconds(job)

    def _send_seconds(self, job: DatacenterJob) -> None:
        """Report the seconds that are due, behind totals that have them."""
        windows = job.statistics.close_windows(self._clock.wall())
        if windows:
            progress = job_progress(job, self._reports.datacenter, self._clock.monotonic())
            self._reports.send_progress(job.dispatch.gate_id, progress)
        for window in windows:
            self._reports.send_window(job.dispatch.gate_id, window)

    def _fail_shards_of(self, loss: LostWorker) -> None:
        worker_id = loss.worker_id
        for job, shard in self._state.shards_of(worker_id):
            if shard.phase in _NOT_HEARD_OF:
                self._progression.refused(job, shard, f"worker {worker_id} was lost")
            elif shard.is_with_worker:
                cause = f"worker {worker_id} was lost while it ran shard {shard.shard_id} ({loss.cause})"
                self._progression.failed(job, shard, cause)
