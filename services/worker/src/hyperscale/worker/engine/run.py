"""One run: from a compiled plan to its last number."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Final

from hyperscale.v1 import engine_pb2, progress_pb2
from hyperscale.worker.engine.casting import Casting
from hyperscale.worker.engine.load import driver_of
from hyperscale.worker.engine.models.network import NetworkOptions
from hyperscale.worker.engine.models.plan import Plan
from hyperscale.worker.engine.origins import OriginConnectors
from hyperscale.worker.engine.population import Population
from hyperscale.worker.engine.recorder import Recorder, UserGauge, WallClock
from hyperscale.worker.engine.user import RunParts
from hyperscale.worker.engine.vitals import Vitals
from hyperscale.workload.timestamps import duration, timestamp

_FOLDS_PER_SECOND: Final = 4
_AFTER_BOUNDARY_SECONDS: Final = 0.002
_LONGEST_WAIT_SECONDS: Final = 10.0
_STUBBORN_SECONDS: Final = 3.0
"""How long users may take to end after they were interrupted; code can refuse to end for ever."""


class EngineRun:
    """Makes the load of one plan.

    Ends COMPLETED when the load's time or stock is used up, also when iterations had to be interrupted after the graceful
    stop; CANCELLED when it was stopped before; FAILED when it crashed.
    """

    def __init__(
        self,
        plan: Plan,
        network: NetworkOptions,
        casting: Casting,
        report: Callable[[Callable[[], engine_pb2.EngineProgress]], None],
        abandon: Callable[[], None],
    ) -> None:
        """`casting` makes the users.

        `report` is offered progress once a second, just after a second of wall clock has ended; windows that it does
        not take are offered again. `abandon` is called when users cannot be ended: the run never ends by itself then.
        """
        self._plan = plan
        self._report = report
        self._abandon = abandon
        self._clock = WallClock()
        self._gauge = UserGauge()
        self._recorder = Recorder(plan, self._clock)
        self._connectors = OriginConnectors(plan, network)
        self._casting = casting
        self._population = Population(plan, self._gauge)
        self._driver = driver_of(plan, self._population, self._recorder)
        self._stopped_as = progress_pb2.SHARD_STATUS_COMPLETED
        self._error = ""
        self._is_frozen = False
        self._has_load_ended = False
        self._measured_from: float | None = None
        self._finished_at: float | None = None
        self._deadlines: list[asyncio.TimerHandle] = []

    async def execute(self, start_at_seconds: float) -> None:
        """Make the load from an instant on, in seconds since the epoch, until it has ended for whatever reason.

        0 means now, without anything agreed. One that is past means now, and so does one so far ahead that it tells of a clock that is wrong.
        """
        gc.collect()
        try:
            async with asyncio.TaskGroup() as tasks:
                background = self._start(tasks, start_at_seconds)
                await self._population.wait_ended()
                self._finished_at = self._clock.now()
                self._connectors.stop()
                for task in background:
                    task.cancel()
        finally:
            self._driver.close()
            for deadline in self._deadlines:
                deadline.cancel()
            self._population.interrupt()
            gc.unfreeze()
        await self._population.close()

    def stop(self) -> None:
        """Start no iteration any more; those under way end within the graceful stop."""
        self._stopped_as = progress_pb2.SHARD_STATUS_CANCELLED
        self._end_load()

    def halt(self) -> None:
        """End now; requests under way count as cancelled."""
        self._stopped_as = progress_pb2.SHARD_STATUS_CANCELLED
        self._end_now()

    def crash(self, error: str) -> None:
        """End now, as failed; the first error is kept."""
        self._error = self._error or error
        self._end_now()

    def conclude(self) -> engine_pb2.EngineProgress:
        """The last report, with every window that was not reported yet. To be called once, after the end."""
        self._recorder.fold()
        self._recorder.close_windows(self._gauge)
        progress = self._progress()
        progress.status = progress_pb2.SHARD_STATUS_FAILED if self._error else self._stopped_as
        progress.error = self._error
        self._casting.conclude(progress)
        return progress

    def _start(self, tasks: asyncio.TaskGroup, start_at_seconds: float) -> list[asyncio.Task[None]]:
        """Start everything; returns the tasks that only a cancellation ends."""
        background = [
            tasks.create_task(self._population.sweep(), name="sweep timeouts"),
            tasks.create_task(self._report_seconds(), name="report"),
            tasks.create_task(Vitals(self._recorder).watch(), name="watch vitals"),
        ]
        self._connectors.start(tasks)
        parts = RunParts(self._plan, self._recorder, self._connectors)
        self._population.admit(self._casting.user_maker(parts, tasks))
        wait_seconds = start_at_seconds - self._clock.now()
        if 0 < wait_seconds <= _LONGEST_WAIT_SECONDS:
            self._call_later(wait_seconds, partial(self._begin, start_at_seconds))
        else:
            self._begin(start_at_seconds)
        return background

    def _begin(self, start_at_seconds: float) -> None:
        self._call_later(self._plan.load_seconds, self._finish_load)
        measure = partial(self._measure, self._clock.now() - start_at_seconds if start_at_seconds else None)
        if self._plan.warm_up_seconds:
            self._call_later(self._plan.warm_up_seconds, measure)
        else:
            measure()
        self._driver.start(perf_counter())

    def _measure(self, start_lag_seconds: float | None) -> None:
        """Begin to measure."""
        if self._plan.warm_up_seconds:
            self._recorder.end_warm_up()
        self._measured_from = self._clock.now()
        if start_lag_seconds is not None:
            self._recorder.begun(start_lag_seconds)

    def _end_now(self) -> None:
        self._end_load()
        self._interrupt()

    def _interrupt(self) -> None:
        self._population.interrupt()
        self._call_later(_STUBBORN_SECONDS, self._give_up)

    def _give_up(self) -> None:
        """Users are still there: what was counted is kept, the run has failed."""
        if self._gauge.running:
            self._finished_at = self._clock.now()
            self._error = self._error or (
                f"{self._gauge.running} of its users did not end within {_STUBBORN_SECONDS:g} s after they were interrupted"
            )
            self._abandon()

    def _finish_load(self) -> None:
        self._driver.finish()
        self._end_load()

    def _end_load(self) -> None:
        """Start nothing any more, whatever was planned; those under way have the graceful stop, once."""
        if self._has_load_ended:
            return
        self._has_load_ended = True
        for deadline in self._deadlines:
            deadline.cancel()
        self._deadlines.clear()
        self._driver.close()
        self._call_later(self._plan.graceful_stop_seconds, self._interrupt)

    def _call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        self._deadlines.append(asyncio.get_running_loop().call_later(seconds, callback))

    async def _report_seconds(self) -> None:
        """Fold a few times a second, so that no fold is felt; report when a second has ended."""
        reported_second = int(self._clock.now())
        while True:
            await asyncio.sleep(self._until_next_fold_seconds())
            self._recorder.fold()
            second = int(self._clock.now())
            if second == reported_second:
                continue
            reported_second = second
            self._recorder.close_windows(self._gauge, before_second=second)
            self._report(self._progress)
            self._freeze_memory()

    def _freeze_memory(self) -> None:
        """After warm-up, what exists stays: no collection needs to look at it again."""
        if not self._is_frozen:
            self._is_frozen = True
            gc.freeze()

    def _until_next_fold_seconds(self) -> float:
        interval = 1.0 / _FOLDS_PER_SECOND
        return interval - self._clock.now() % interval + _AFTER_BOUNDARY_SECONDS

    def _progress(self) -> engine_pb2.EngineProgress:
        progress = engine_pb2.EngineProgress(
            status=progress_pb2.SHARD_STATUS_RUNNING,
            totals=self._recorder.totals(self._gauge),
            windows=self._recorder.take_windows(),
        )
        if self._measured_from is not None and self._gauge.most:
            measured_until = self._clock.now() if self._finished_at is None else self._finished_at
            progress.started_at.CopyFrom(timestamp(self._measured_from))
            progress.elapsed.CopyFrom(duration(measured_until - self._measured_from))
        return progress
