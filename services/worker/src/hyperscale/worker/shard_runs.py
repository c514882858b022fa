"""The shards under way on this worker."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

from structlog.typing import FilteringBoundLogger

from hyperscale.runtime.clock import Clock
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1.dispatch_pb2 import WorkflowDispatch
from hyperscale.v1.progress_pb2 import ExtensionAnswer, ExtensionOutcome, ExtensionRequest, ShardStatus
from hyperscale.v1.workflow_pb2 import Workflow
from hyperscale.worker.engine_pool import EnginePool
from hyperscale.worker.execution import ShardExecution, parts_of
from hyperscale.worker.models.engines import StopStage
from hyperscale.worker.models.shards import ExecutionSettings, StopLimits, StopReason
from hyperscale.worker.models.time import Moment
from hyperscale.worker.shard_run import ProgressSink, ShardRun
from hyperscale.worker.state import WorkerState
from hyperscale.workload.timestamps import seconds_of


@dataclass(frozen=True, slots=True)
class ShardSettings:
    """How shards are run and stopped; ``stop_limits`` are the longest, a workflow may ask for less."""

    execution: ExecutionSettings
    stop_limits: StopLimits


class ShardRuns:
    """Starts shards on reserved engines, stops them on request, and frees their engines at their end."""

    def __init__(
        self,
        state: WorkerState,
        engines: EnginePool,
        settings: ShardSettings,
        *,
        supervisor: Supervisor,
        clock: Clock,
        logger: FilteringBoundLogger,
    ) -> None:
        self._state = state
        self._engines = engines
        self._supervisor = supervisor
        self._clock = clock
        self._logger = logger
        self._settings = settings
        self._run_ids = count(1)
        self._runs: dict[str, ShardRun] = {}
        self._drives: set[asyncio.Task[None]] = set()

    @property
    def active(self) -> Mapping[str, ShardRun]:
        """The shards under way, by id, as of now."""
        return dict(self._runs)

    def start(self, dispatch: WorkflowDispatch, slots: tuple[int, ...], sink: ProgressSink) -> None:
        """Run a shard on engines that were reserved for it."""
        parts = dict(zip(slots, parts_of(dispatch.workflow, dispatch.cores), strict=False))
        execution = ShardExecution(
            dispatch,
            next(self._run_ids),
            self._state.engines_of(parts),
            self._settings.execution,
            Moment.of(self._clock),
        )
        run = ShardRun(execution, self._engines, sink, self._clock)
        self._runs[dispatch.shard_id] = run
        for slot in parts:
            self._engines.attach(slot, run)
        drive = self._supervisor.start(self._drive(execution, run, parts), name="shard")
        self._drives.add(drive)
        drive.add_done_callback(self._drives.discard)

    def stop(self, shard_id: str, reason: StopReason, limits: StopLimits | None = None) -> None:
        """Begin to end a shard gracefully; nothing happens when it does not run (any more)."""
        run = self._runs.get(shard_id)
        if run is not None:
            self._logger.info("shard stopping", shard_id=shard_id, cause=reason.cause.name, reason=reason.text)
            run.stop(reason, StopStage.GRACEFUL, limits or self._settings.stop_limits)

    def extension_requests(self) -> list[ExtensionRequest]:
        """What shards ask of their managers, whose deadlines are too soon."""
        wishes = [run.extension_request() for run in self._runs.values()]
        return [wish for wish in wishes if wish is not None]

    def extension_answered(self, answer: ExtensionAnswer) -> None:
        """The manager of a shard has answered; nothing happens when the shard does not run (any more)."""
        run = self._runs.get(answer.shard_id)
        if run is not None and run.extension_answered(answer):
            self._logger.info(
                "more time asked for",
                shard_id=answer.shard_id,
                outcome=ExtensionOutcome.Name(answer.outcome),
                seconds_left=seconds_of(answer.time_left),
            )

    async def idle(self, timeout_seconds: float) -> None:
        """Wait until no shard is under way, but no longer than the timeout."""
        if self._drives:
            await asyncio.wait(self._drives, timeout=timeout_seconds)

    async def _drive(self, execution: ShardExecution, run: ShardRun, parts: Mapping[int, Workflow]) -> None:
        dispatch = execution.dispatch
        log = self._logger.bind(job_id=dispatch.job_id, shard_id=dispatch.shard_id, attempt=dispatch.attempt)
        log.info("shard started", run_id=execution.run_id, engines=len(parts))
        try:
            await run.drive(parts)
        except Exception as error:
            self._supervisor.report(error, "shard", shard_id=dispatch.shard_id)
            run.abort(f"worker {self._settings.execution.worker_id} failed while it drove the shard; its log says why")
        finally:
            for slot in parts:
                self._engines.detach(slot)
            del self._runs[dispatch.shard_id]
            self._state.finish(dispatch.job_id, dispatch.shard_id, self._clock.monotonic())
        log.info("shard ended", status=ShardStatus.Name(execution.status), errors=execution.errors)
