"""Background work that cannot get lost: every task has a name, an owner, a logged failure and an end."""

from __future__ import annotations

import asyncio
import inspect
import random
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

from structlog.typing import FilteringBoundLogger

from hyperscale.runtime.errors import ErrorReason, HyperscaleError

ResultT = TypeVar("ResultT")
Work: TypeAlias = Coroutine[Any, Any, ResultT] | Callable[[], Coroutine[Any, Any, ResultT]]

_MAX_CONSECUTIVE_RESTARTS = 8
_BASE_DELAY_SECONDS = 0.1
_MAX_DELAY_SECONDS = 10.0
_STABLE_AFTER_SECONDS = 60.0


class RestartPolicy(StrEnum):
    """What happens to work that raised."""

    NEVER = "never"
    ON_FAILURE = "on_failure"


class Supervisor:
    """Starts background tasks and accounts for each of them.

    This is the only place that creates tasks.
    """

    def __init__(self, name: str, logger: FilteringBoundLogger) -> None:
        self._name = name
        self._logger = logger.bind(supervisor=name)
        self._running: dict[asyncio.Task[Any], str] = {}
        self._failures: Counter[str] = Counter()
        self._abandoned: asyncio.Queue[str] = asyncio.Queue()
        self._stopped = False

    @property
    def running(self) -> Mapping[str, int]:
        """Number of live tasks per name."""
        return MappingProxyType(Counter(self._running.values()))

    @property
    def failures(self) -> Mapping[str, int]:
        """Number of failures per task name and per reported context since the start."""
        return MappingProxyType(self._failures)

    def start(
        self, work: Work[ResultT], *, name: str, restart: RestartPolicy = RestartPolicy.NEVER
    ) -> asyncio.Task[ResultT]:
        """Run work in the background until it returns, raises or the supervisor stops.

        Parameters
        ----------
        work
            A coroutine, or a function that makes one; restarting needs the function, since a coroutine runs once.
        restart
            ON_FAILURE runs the work again with growing, jittered delays. Work that fails 8 times without lasting a
            minute is given up, which `wait_abandoned` announces.
        """
        if self._stopped:
            if inspect.iscoroutine(work):
                work.close()
            raise HyperscaleError(ErrorReason.DRAINING)
        task = asyncio.get_running_loop().create_task(self._coroutine(work, name, restart), name=f"{self._name}.{name}")
        self._running[task] = name
        task.add_done_callback(self._finished)
        return task

    async def see_through(self, work: Coroutine[Any, Any, ResultT], *, name: str) -> ResultT:
        """Run work that must not stop halfway when its caller goes away; returns or raises what it does.

        Without a caller left, a `HyperscaleError` is reported here, since nobody else learns of it.
        """
        outcome: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()

        def ended(_: asyncio.Task[None]) -> None:
            # It may have been stopped before it could say how it ended, or before it began.
            work.close()
            outcome.cancel()

        self.start(self._settle(work, outcome, name), name=name).add_done_callback(ended)
        return await outcome

    async def _settle(self, work: Coroutine[Any, Any, ResultT], outcome: asyncio.Future[ResultT], name: str) -> None:
        try:
            result = await work
        except HyperscaleError as error:
            if outcome.done():
                self.report(error, name)
            else:
                outcome.set_exception(error)
        except Exception as error:
            if not outcome.done():
                outcome.set_exception(error)
            raise
        else:
            if not outcome.done():
                outcome.set_result(result)

    def report(self, error: BaseException, context: str, **facts: object) -> None:
        """Log and count an exception that was handled but should be known of."""
        self._failures[context] += 1
        self._logger.warning("handled error", context=context, error=repr(error), exc_info=error, **facts)

    async def wait_abandoned(self) -> str:
        """Wait until some restarted work is given up; returns its name."""
        return await self._abandoned.get()

    async def stop(self, timeout_seconds: float) -> None:
        """`end` everything, and start nothing any more."""
        self._stopped = True
        await self.end(self._running.keys() - {asyncio.current_task()}, timeout_seconds)

    async def end(self, tasks: Collection[asyncio.Task[Any]], timeout_seconds: float) -> None:
        """Cancel work and wait for it; what ignores that for longer than the timeout is logged and left."""
        for task in tasks:
            task.cancel()
        if not tasks:
            return
        _, stuck = await asyncio.wait(tasks, timeout=timeout_seconds)
        if stuck:
            names = sorted(self._running[task] for task in stuck if task in self._running)
            self._logger.error("tasks ignored cancellation", tasks=names, timeout_seconds=timeout_seconds)

    def _coroutine(self, work: Work[ResultT], name: str, restart: RestartPolicy) -> Coroutine[Any, Any, ResultT]:
        if callable(work):
            return work() if restart is RestartPolicy.NEVER else self._restarting(work, name)
        if restart is RestartPolicy.NEVER:
            return work
        work.close()
        raise TypeError(f"{name}: restarting needs a function that makes the coroutine")

    async def _restarting(self, work: Callable[[], Coroutine[Any, Any, ResultT]], name: str) -> ResultT:
        clock = asyncio.get_running_loop().time
        attempt = 0
        while True:
            started_at = clock()
            try:
                return await work()
            except Exception as error:
                if clock() - started_at >= _STABLE_AFTER_SECONDS:
                    attempt = 0
                if attempt == _MAX_CONSECUTIVE_RESTARTS:
                    self._abandoned.put_nowait(name)
                    raise
                self.report(error, name, restart=attempt + 1)
            await asyncio.sleep(random.uniform(0, min(_MAX_DELAY_SECONDS, _BASE_DELAY_SECONDS * 2**attempt)))
            attempt += 1

    def _finished(self, task: asyncio.Task[Any]) -> None:
        name = self._running.pop(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._failures[name] += 1
            self._logger.error("task failed", task=name, error=repr(error), exc_info=error)
