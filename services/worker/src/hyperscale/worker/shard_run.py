"""Drives one attempt at a shard: its execution decides, this performs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from hyperscale.runtime.clock import Clock
from hyperscale.v1.engine_pb2 import EngineCommand, EngineReport, EngineStart, EngineStop
from hyperscale.v1.progress_pb2 import ExtensionAnswer, ExtensionRequest, WorkflowProgress
from hyperscale.v1.workflow_pb2 import Workflow
from hyperscale.worker.engine_pool import EnginePool
from hyperscale.worker.execution import ShardExecution
from hyperscale.worker.models.engines import EngineExit, EngineOrder, StopStage
from hyperscale.worker.models.shards import StopLimits, StopReason
from hyperscale.worker.models.time import Moment

_TICK_SECONDS = 0.1


class ProgressSink(Protocol):
    """Where the reports on a shard go: the manager that dispatched it."""

    @property
    def down_since(self) -> float | None:
        """Since when the manager is out of reach, in monotonic seconds; None while it is connected."""
        ...

    def report(self, progress: WorkflowProgress) -> None:
        """Deliver a report, sooner or later; returns at once."""
        ...


class ShardRun:
    """The shell around a `ShardExecution`: starts and stops engines, and hands reports over."""

    def __init__(self, execution: ShardExecution, engines: EnginePool, sink: ProgressSink, clock: Clock) -> None:
        self._execution = execution
        self._engines = engines
        self._sink = sink
        self._clock = clock
        self._news = asyncio.Event()

    @property
    def manager_id(self) -> str:
        """The manager that dispatched the shard."""
        return self._execution.dispatch.manager_id

    @property
    def manager_down_since(self) -> float | None:
        """Since when that manager is out of reach, in monotonic seconds; None while it is connected."""
        return self._sink.down_since

    @property
    def is_stopping(self) -> bool:
        """Whether somebody has asked for its end."""
        return self._execution.is_stopping

    def engine_reported(self, slot: int, report: EngineReport) -> None:
        """See `EngineListener`."""
        self._execution.engine_reported(slot, report, self._now())
        self._news.set()

    def engine_exited(self, slot: int, ended: EngineExit) -> None:
        """See `EngineListener`."""
        self._execution.engine_exited(slot, ended, self._now())
        self._news.set()

    def extension_request(self) -> ExtensionRequest | None:
        """See `ShardExecution`."""
        return self._execution.extension_request(self._now())

    def extension_answered(self, answer: ExtensionAnswer) -> bool:
        """See `ShardExecution`."""
        return self._execution.extension_answered(answer, self._now())

    def stop(self, reason: StopReason, stage: StopStage, limits: StopLimits) -> None:
        """End the shard before its time."""
        self._execution.stop(reason, stage, limits, self._now())
        self._news.set()

    async def drive(self, parts: Mapping[int, Workflow]) -> None:
        """Give each engine its part, by slot, and see to it until the last report is on its way."""
        for slot, part in parts.items():
            self._start(slot, part)
        while True:
            now = self._now()
            for order in self._execution.advance(now):
                self._obey(order)
            if self._execution.is_frame_due(now):
                self._sink.report(self._execution.frame(now))
            if self._execution.is_finished:
                return
            await self._wait()

    def abort(self, error: str) -> None:
        """End the shard at once, because driving it failed."""
        for order in self._execution.abort(error):
            self._obey(order)
        self._sink.report(self._execution.frame(self._now()))

    def _start(self, slot: int, part: Workflow) -> None:
        dispatch = self._execution.dispatch
        start = EngineStart(
            run_id=self._execution.run_id,
            workflow=part,
            target=dispatch.target,
            http_options=dispatch.http_options,
            context=dispatch.context,
            variables=dispatch.variables,
            start_at=dispatch.start_at if dispatch.HasField("start_at") else None,
        )
        if part.class_name:
            start.bundle.CopyFrom(dispatch.bundle)
        self._engines.send(slot, EngineCommand(start=start))

    def _obey(self, order: EngineOrder) -> None:
        if order.stage is StopStage.KILL:
            place = self._engines.kill(order.slot)
            if place:
                self._execution.note_place(order.slot, place)
            return
        is_graceful = order.stage is StopStage.GRACEFUL
        stop = EngineStop(run_id=self._execution.run_id, graceful=is_graceful)
        self._engines.send(order.slot, EngineCommand(stop=stop))

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(_TICK_SECONDS):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()

    def _now(self) -> Moment:
        return Moment.of(self._clock)
