"""The engines of this worker: one slot per core, each kept alive by a task of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing

from structlog.typing import FilteringBoundLogger

from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1.engine_pb2 import EngineCommand, EnginePing, EngineReport
from hyperscale.worker.engine_process import EngineProcess
from hyperscale.worker.idle_watch import LOOK_SECONDS, IdleWatch
from hyperscale.worker.models.engines import EngineExit, EngineListener, EnginePatience
from hyperscale.worker.state import WorkerState

_FIRST_DELAY_SECONDS = 0.1
_MAX_DELAY_SECONDS = 5.0
_STABLE_AFTER_SECONDS = 10.0
_EXIT_PATIENCE_SECONDS = 2.0


def cpus_for(engines: int, allowed: frozenset[int]) -> list[int | None]:
    """The CPU of each engine: one each when the engines use all that the process may use, else the scheduler's choice.

    A worker with fewer engines than CPUs may share the machine with another one, and both would choose the same CPUs.
    """
    return [*sorted(allowed)] if engines == len(allowed) else [None] * engines


def allowed_cpus() -> frozenset[int]:
    """CPUs this process may run on; empty where the system does not tell."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()


def respawn_delay_seconds(short_lives: int) -> float:
    """Pause before an engine is started again after it has died young several times in a row."""
    return min(_MAX_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2.0 ** min(short_lives, 16))


class EnginePool:
    """Starts engines, passes on what they report to whoever they work for, replaces those that die.

    Parameters
    ----------
    patience
        An engine that takes longer to be ready, or to answer while it works for nobody, is killed and replaced.
    """

    def __init__(
        self, state: WorkerState, supervisor: Supervisor, logger: FilteringBoundLogger, patience: EnginePatience
    ) -> None:
        self._state = state
        self._supervisor = supervisor
        self._logger = logger
        self._patience = patience
        self._idle_watch = IdleWatch(patience.stall_seconds)
        self._cpus = cpus_for(state.total_cores, allowed_cpus())
        self._processes: dict[int, EngineProcess] = {}
        self._listeners: dict[int, EngineListener] = {}
        self._keepers: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start every engine in the background."""
        self._keepers = [
            self._supervisor.start(self._keep(slot), name=f"engine-{slot}") for slot in range(self._state.total_cores)
        ]
        self._keepers.append(self._supervisor.start(self._watch_idle(), name="idle-engines"))

    async def stop(self, timeout_seconds: float) -> None:
        """End every engine; those still there at the timeout are killed."""
        await self._supervisor.end(self._keepers, timeout_seconds)
        for process in self._processes.values():
            process.kill()

    def attach(self, slot: int, listener: EngineListener) -> None:
        """From now on the engine in the slot works for the listener."""
        self._listeners[slot] = listener

    def detach(self, slot: int) -> None:
        """The engine in the slot works for nobody."""
        self._listeners.pop(slot, None)

    def send(self, slot: int, command: EngineCommand) -> None:
        """Send a command to the engine in a slot; lost when there is none, which its listener has been told."""
        process = self._processes.get(slot)
        if process is not None:
            process.send(command)

    def kill(self, slot: int) -> str:
        """Kill the engine in a slot; it counts as gone at once, and is replaced.

        Returns the line of a workflow's code where it hung; empty when it did not.
        """
        process = self._processes.get(slot)
        if process is None:
            return ""
        self._state.engine_gone(slot)
        process.kill()
        return process.whereabouts()

    def look_after_idle(self, now: float) -> None:
        """Ask engines that work for nobody whether they live, and kill those that have not answered for too long."""
        idle = [slot for slot in self._state.ready_slots if slot not in self._listeners]
        for slot in self._idle_watch.silent(idle, now):
            place = self.kill(slot)
            self._logger.warning("idle engine hangs", slot=slot, place=place)
        for slot in idle:
            self.send(slot, EngineCommand(ping=EnginePing()))

    async def _watch_idle(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look_after_idle(asyncio.get_running_loop().time())

    async def _keep(self, slot: int) -> None:
        clock = asyncio.get_running_loop().time
        short_lives = 0
        while True:
            began_at = clock()
            await self._live(slot)
            short_lives = short_lives + 1 if clock() - began_at < _STABLE_AFTER_SECONDS else 0
            await asyncio.sleep(respawn_delay_seconds(short_lives))

    async def _live(self, slot: int) -> None:
        """One life of the engine in a slot, from its start to its end."""
        try:
            process = await EngineProcess.spawn(self._cpus[slot], self._patience.stall_seconds / 2)
        except OSError as error:
            self._supervisor.report(error, "engine-spawn", slot=slot)
            return
        self._processes[slot] = process
        try:
            await self._listen(slot, process)
        finally:
            self._state.engine_gone(slot)
            self._idle_watch.heard(slot)
            ended = await process.ended(_EXIT_PATIENCE_SECONDS)
            del self._processes[slot]
            self._bury(slot, ended)

    async def _listen(self, slot: int, process: EngineProcess) -> None:
        try:
            async with aclosing(process.reports()) as reports:
                await self._await_ready(slot, process, reports)
                async for report in reports:
                    self._pass_on(slot, report)
        except (ValueError, TimeoutError) as error:
            self._supervisor.report(error, "engine-protocol", slot=slot, pid=process.pid)
            process.kill()

    async def _await_ready(self, slot: int, process: EngineProcess, reports: AsyncIterator[EngineReport]) -> None:
        async with asyncio.timeout(self._patience.start_seconds):
            first = await anext(reports, None)
        if first is None:
            return
        if not first.HasField("ready"):
            raise ValueError(f"engine {process.pid} did not introduce itself")
        self._state.engine_ready(slot, process.pid)
        self._logger.info("engine ready", slot=slot, pid=process.pid)

    def _pass_on(self, slot: int, report: EngineReport) -> None:
        self._idle_watch.heard(slot)
        listener = self._listeners.get(slot)
        if listener is not None:
            listener.engine_reported(slot, report)

    def _bury(self, slot: int, ended: EngineExit) -> None:
        self._logger.info("engine gone", slot=slot, pid=ended.pid, how=ended.how)
        listener = self._listeners.get(slot)
        if listener is not None:
            listener.engine_exited(slot, ended)
