"""What workers ask for in their heartbeats, answered; what was granted is kept with the job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from structlog.typing import FilteringBoundLogger

from hyperscale.manager.extensions import ExtensionPolicy, time_left_seconds
from hyperscale.manager.ledger import DatacenterLedger
from hyperscale.manager.models.extension import ExtensionWish, GrantedTime
from hyperscale.manager.models.job import AssignedShard, DatacenterJob
from hyperscale.manager.reporting import JobReporter
from hyperscale.manager.state import ManagerState
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.errors import CoordinationUnavailableError, LeaseLostError
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1.progress_pb2 import EXTENSION_OUTCOME_GRANTED, ExtensionAnswer, ExtensionRequest
from hyperscale.workload.timestamps import duration, seconds_of


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

    def answer(self, worker_id: str, requests: Iterable[ExtensionRequest]) -> list[ExtensionAnswer]:
        """Answers to the requests of a worker, but for shards that it does not run for this manager."""
        return [answer for request in requests for answer in self._answer(worker_id, request)]

    def _answer(self, worker_id: str, request: ExtensionRequest) -> Iterator[ExtensionAnswer]:
        job = self._state.find(request.shard_id.rsplit("/", 2)[0])
        shard = None if job is None else job.find_shard(request.shard_id)
        if job is None or shard is None or job.stops(shard) or shard.has_ended:
            return
        if (worker_id, request.attempt) != (shard.worker_id, shard.attempt):
            return
        now = self._clock.monotonic()
        left_seconds = time_left_seconds(job, shard, now)
        if left_seconds is None:
            return
        ends_in = seconds_of(request.ends_in) - left_seconds if request.HasField("ends_in") else None
        verdict = self._policy.judge(shard.extension, ExtensionWish(request.work_done, ends_in))
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
        _ = self._supervisor.start(self._save(job), name="extension")

    async def _save(self, job: DatacenterJob) -> None:
        try:
            await self._ledger.save(job)
        except (LeaseLostError, CoordinationUnavailableError) as error:
            self._supervisor.report(error, "extension", job_id=job.job_id)
