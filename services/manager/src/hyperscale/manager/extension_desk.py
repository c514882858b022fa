"""What workers ask for in their heartbeats, answered; what was granted is kept with the job."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Final

from structlog.typing import FilteringBoundLogger

from hyperscale.manager.extensions import ExtensionPolicy, granted_so_far, time_left_seconds
from hyperscale.manager.ledger import DatacenterLedger
from hyperscale.manager.models.extension import ExtensionWish, GrantedTime
from hyperscale.manager.models.job import AssignedShard, DatacenterJob
from hyperscale.manager.reporting import JobReporter
from hyperscale.manager.state import ManagerState
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.retry import RetryPolicy, call_with_retry
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1.progress_pb2 import EXTENSION_OUTCOME_GRANTED, ExtensionAnswer, ExtensionRequest
from hyperscale.workload.timestamps import duration, seconds_of

_SAVE_INTERVAL_SECONDS = 0.5
_SAVE: Final = RetryPolicy(
    "extension",
    attempts=1000,
    base_delay_seconds=0.5,
    max_delay_seconds=5.0,
    retryable=frozenset({ErrorReason.COORDINATION_UNAVAILABLE}),
)
"""As long as there is time."""
_SAVE_SECONDS = 300.0
"""No leadership outlasts a store that takes no write for longer."""


class ExtensionDesk:
    """Gives shards more time, or tells why not."""

    def __init__(
        self,
        policy: ExtensionPolicy,
        *,
        state: ManagerState,
        ledger: DatacenterLedger,
        reporter: JobReporter,
        supervisor: Supervisor,
        clock: Clock,
        logger: FilteringBoundLogger,
    ) -> None:
        self._policy = policy
        self._state = state
        self._ledger = ledger
        self._reporter = reporter
        self._supervisor = supervisor
        self._clock = clock
        self._logger = logger
        self._unsaved_grants: dict[str, int] = {}

    def answer(self, worker_id: str, requests: Iterable[ExtensionRequest]) -> list[ExtensionAnswer]:
        """Answers to the requests of a worker, the last one of each shard that it runs for this manager."""
        by_shard = {request.shard_id: request for request in requests}
        if not by_shard:
            return []
        return [
            answer
            for job, shard in self._state.shards_of(worker_id)
            if shard.shard_id in by_shard
            for answer in self._answer(job, shard, by_shard[shard.shard_id])
        ]

    def _answer(self, job: DatacenterJob, shard: AssignedShard, request: ExtensionRequest) -> Iterator[ExtensionAnswer]:
        now = self._clock.monotonic()
        left_seconds = time_left_seconds(job, shard, now)
        if request.attempt != shard.attempt or job.stops(shard) or left_seconds is None:
            return
        verdict = self._policy.judge(granted_so_far(job, shard), _wish(request, left_seconds))
        if verdict.outcome == EXTENSION_OUTCOME_GRANTED:
            self._grant(job, shard, verdict.granted)
            left_seconds = time_left_seconds(job, shard, now) or 0.0
        yield ExtensionAnswer(
            shard_id=shard.shard_id,
            attempt=shard.attempt,
            outcome=verdict.outcome,
            time_left=duration(left_seconds),
        )

    def _grant(self, job: DatacenterJob, shard: AssignedShard, granted: GrantedTime) -> None:
        shard.extension = granted
        self._logger.info(
            "time extended",
            job_id=job.job_id,
            shard_id=shard.shard_id,
            worker_id=shard.worker_id,
            grants=granted.grants,
            extended_seconds=granted.seconds,
        )
        self._reporter.job_changed(job)
        is_being_saved = job.job_id in self._unsaved_grants
        self._unsaved_grants[job.job_id] = self._unsaved_grants.get(job.job_id, 0) + 1
        if not is_being_saved:
            _ = self._supervisor.start(self._save(job), name="extension")

    async def _save(self, job: DatacenterJob) -> None:
        """Write the job while there are grants that are not in its record, but seldom: it may be large, its shards many.

        Each attempt writes the job as it stands then, with what has been granted since.
        """

        async def attempt(_: float) -> None:
            self._unsaved_grants[job.job_id] = 0
            await self._ledger.save(job)

        try:
            while self._unsaved_grants[job.job_id]:
                await call_with_retry(_SAVE, attempt, _SAVE_SECONDS)
                await asyncio.sleep(_SAVE_INTERVAL_SECONDS)
        except HyperscaleError as error:
            self._supervisor.report(error, "extension", job_id=job.job_id)
        finally:
            del self._unsaved_grants[job.job_id]


def _wish(request: ExtensionRequest, left_seconds: float) -> ExtensionWish:
    return ExtensionWish(
        request.work_done,
        seconds_of(request.ends_in) - left_seconds if request.HasField("ends_in") else None,
        left_seconds - seconds_of(request.time_left) if request.HasField("time_left") else 0.0,
    )
