"""The steps of one coded user, one iteration after another, and what their exceptions count as."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Final

from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.worker.engine.clients.protocol import Measurement
from hyperscale.worker.engine.coded_surroundings import UserSurroundings
from hyperscale.worker.engine.connection import HttpConnection
from hyperscale.worker.engine.recorder import Recorder
from hyperscale.workload.language.errors import RequestError
from hyperscale.workload.language.loading import LoadedBundle
from hyperscale.workload.language.metrics import Metric
from hyperscale.workload.language.steps import BoundStep
from hyperscale.workload.language.workflow import Workflow
from hyperscale.workload.metrics import CODE_PROTOCOL

StepCoroutine = Callable[[], Awaitable[object]]
_STUBBORN_AFTER_SECONDS: Final = 2.0
"""An interrupted step may clean up for so long before it is said to go on."""


class StepTimeoutError(Exception):
    """A step did not end in time."""


class WrongReturnError(TypeError):
    """A step returned what it may not return."""


class CodedScript:
    """The steps of one instance. An exception ends the iteration, since later steps count on earlier ones."""

    def __init__(
        self, workflow: Workflow, steps: Sequence[BoundStep], surroundings: UserSurroundings, bundle: LoadedBundle
    ) -> None:
        self._steps = [
            (
                index,
                step.definition.name,
                step.definition.timeout_seconds or workflow.timeout_seconds,
                getattr(workflow, step.attribute),
            )
            for index, step in enumerate(steps)
        ]
        self._surroundings = surroundings
        self._bundle = bundle
        self._deadline = math.inf
        """When the step under way has taken too long, as a reading of `perf_counter`."""
        self._is_late = False
        """Whether the step under way was interrupted for that."""
        self._interrupted_since: float | None = None
        """Since when the user has not heeded an interruption; endless once that was told."""

    @property
    def connections(self) -> Sequence[HttpConnection]:
        """HTTP connections that it has opened last."""
        return [*self._surroundings.http.connections.values(), *self._surroundings.clients.connections]

    @property
    def measurement(self) -> Measurement:
        """Where its calls are measured."""
        return self._surroundings.clients.measurement

    def expire(self, now: float, task: asyncio.Task[None]) -> None:
        """Give up requests, and the step when it has taken too long. A timer for each step would cost as much as a request."""
        for connection in self.connections:
            connection.expire(now)
        if now >= self._deadline and not self._is_late:
            self._is_late = True
            task.cancel()
        self._note_stubborn(now, task)

    def _note_stubborn(self, now: float, task: asyncio.Task[None]) -> None:
        """Tell of a step that goes on after its interruption: nothing else would say why its user does nothing any more."""
        if not task.cancelling():
            self._interrupted_since = None
            return
        since = self._interrupted_since = now if self._interrupted_since is None else self._interrupted_since
        place = self._bundle.place_of(task.get_coro())
        if now - since >= _STUBBORN_AFTER_SECONDS and place:
            self._interrupted_since = math.inf
            self._count(f"{place}: the step goes on although it was interrupted; do not catch asyncio.CancelledError")

    def prepare(self) -> bool:
        """Take the rows of the next iteration."""
        return self._surroundings.given.feeds.deal(self._surroundings.rows)

    async def iterate(self) -> bool:
        """Run the steps in order."""
        surroundings = self._surroundings
        for index, name, timeout_seconds, run in self._steps:
            surroundings.clients.measurement.step_name = name
            surroundings.http.step_index = index
            self._is_late, self._deadline = False, perf_counter() + timeout_seconds
            try:
                returned = await run()
                if self._is_late:
                    # The code has swallowed its interruption.
                    raise asyncio.CancelledError
                if returned is not None and not isinstance(returned, Metric):
                    raise WrongReturnError(
                        f"step {name!r} returned {type(returned).__name__}; a step returns None or a Metric"
                    )
            except RequestError as error:
                return self._is_only_late(error, run)
            except asyncio.CancelledError as error:
                self._forgive_lateness()
                self._report(_late(error, name, timeout_seconds), run)
                return True
            except (Exception, SystemExit) as error:
                if self._is_late:
                    self._forgive_lateness()
                self._report(error, run)
                return True
            finally:
                self._deadline = math.inf
        return True

    def _is_only_late(self, error: RequestError, run: StepCoroutine) -> bool:
        """Whether a request that nobody caught took its time; it was counted when it failed."""
        if self._surroundings.given.is_once:
            self._report(error, run)
        return error.error_class == "timeout"

    def _forgive_lateness(self) -> None:
        """Go on after an interruption that was for the step alone; raise it again when it was for the user."""
        task = asyncio.current_task()
        if not self._is_late or task is None or task.uncancel():
            raise asyncio.CancelledError

    async def close(self) -> None:
        """Close the connections."""
        self._surroundings.http.close()
        await self._surroundings.clients.close()

    def _report(self, error: BaseException, run: StepCoroutine) -> None:
        """Count an exception, and keep what it says."""
        self._count(self._bundle.explain(error, getattr(run, "__code__", None)))

    def _count(self, text: str) -> None:
        count_exception(self._surroundings.recorder, self.measurement.step_name, text)


def count_exception(recorder: Recorder, step_name: str, text: str) -> None:
    """Count an exception of the code, and keep what it says."""
    statistics = recorder.step_now(step_name).protocol(CODE_PROTOCOL)
    statistics.total_count += 1
    statistics.failures[pb.ERROR_CLASS_EXCEPTION] += 1
    recorder.note_error(step_name, text)


def _late(error: asyncio.CancelledError, step_name: str, timeout_seconds: float) -> StepTimeoutError:
    """The error of a step that took too long, from where it was."""
    late = StepTimeoutError(f"step {step_name!r} took longer than {timeout_seconds:g} s")
    return late.with_traceback(error.__traceback__)
