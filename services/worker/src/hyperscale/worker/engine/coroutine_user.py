"""One virtual user as one task: for what has to wait for more than one request at a time, which callbacks say badly.

It takes iterations from the same stock as the callback user, and ends and is interrupted alike. What an iteration is, its
script knows: declared steps of any protocol (`DeclaredScript`), or the steps of a class (`coded`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import perf_counter
from typing import Protocol

from hyperscale.worker.engine.admission import IterationStock, Seat
from hyperscale.worker.engine.clients import UserClients
from hyperscale.worker.engine.clients.protocol import CallError, Measurement
from hyperscale.worker.engine.connection import HttpConnection
from hyperscale.worker.engine.dialogue import Dialogue
from hyperscale.worker.engine.load_plan import pause_of
from hyperscale.worker.engine.models.load import ArrivalLoad
from hyperscale.worker.engine.models.reply import CallReply
from hyperscale.worker.engine.pacing import pause_seconds
from hyperscale.worker.engine.step_templates import StepTemplate
from hyperscale.worker.engine.user import RunParts


class Script(Protocol):
    """What one user does, again and again."""

    @property
    def connections(self) -> Sequence[HttpConnection]:
        """HTTP connections that it has opened last."""

    @property
    def measurement(self) -> Measurement:
        """Where its calls are measured."""

    def expire(self, now: float, task: asyncio.Task[None]) -> None:
        """Give up what has taken too long, in the task that iterates."""

    def prepare(self) -> bool:
        """Get ready for an iteration; whether there is one: a feed may have no row left for the user."""

    async def iterate(self) -> bool:
        """Run one iteration; whether peers have set its pace, as far as it made calls: otherwise the user pauses.

        Raises nothing but cancellation.
        """

    async def close(self) -> None:
        """Close what is open; called once, also after an interruption."""


class CoroutineUser:
    """Runs a script in a task of its own."""

    def __init__(
        self, script: Script, parts: RunParts, tasks: asyncio.TaskGroup, stock: IterationStock, seat: Seat
    ) -> None:
        self.has_ended = False
        self._script = script
        self._plan = parts.plan
        self._recorder = parts.recorder
        self._tasks = tasks
        self._stock = stock
        self._seat = seat
        self._task: asyncio.Task[None] | None = None
        self._next: asyncio.Future[float] | None = None
        self._is_retired = asyncio.Event()
        self._failures_in_a_row = 0

    @property
    def connections(self) -> Sequence[HttpConnection]:
        """HTTP connections that it has opened last."""
        return self._script.connections

    def begin(self, started: float) -> None:
        """Begin an iteration, whose time counts from `started`; in the open model that of its first call does too."""
        if not self._script.prepare():
            self.interrupt()
            self.has_ended = True
            return
        if self._next is not None:
            self._next.set_result(started)
            return
        self._task = self._tasks.create_task(self._live(started), name="user")
        self._task.add_done_callback(self._note_end)

    def retire(self) -> None:
        """Think no longer of an iteration that will not come."""
        self._is_retired.set()

    def expire(self, now: float) -> None:
        """Give up what has taken too long."""
        if self._task is not None:
            self._script.expire(now, self._task)

    def interrupt(self) -> None:
        """End soon; calls under way count as cancelled."""
        if self._task is not None:
            self._task.cancel()
        elif not self.has_ended:
            self._note_end()

    def _note_end(self, _: asyncio.Task[None] | None = None) -> None:
        self.has_ended = True
        self._seat.ended()

    async def _live(self, started: float) -> None:
        start: float | None = started
        try:
            while start is not None:
                await self._iterate(start)
                start = await self._next_start()
        finally:
            await self._script.close()

    async def _iterate(self, started: float) -> None:
        if isinstance(self._plan.load, ArrivalLoad):
            self._script.measurement.next_counts_from(started)
        got_through = await self._script.iterate()
        self._recorder.iterations.add(started, perf_counter(), 0)
        self._failures_in_a_row = 0 if got_through else self._failures_in_a_row + 1
        # At least one turn of the loop: code that never waits must not keep the engine from its reports.
        await asyncio.sleep(pause_seconds(self._failures_in_a_row) if self._failures_in_a_row else 0)

    async def _next_start(self) -> float | None:
        """When the next iteration starts; None when there is none for this user any more."""
        await self._think()
        if self._stock.take():
            if not self._script.prepare():
                self._stock.put_back()
                return None
            self._is_retired.clear()
            return perf_counter()
        self._next = asyncio.get_running_loop().create_future()
        try:
            self._seat.rested()
            return await self._next
        finally:
            self._next = None

    async def _think(self) -> None:
        think_time = self._plan.think_time
        if think_time is None or self._stock.is_used_up:
            return
        try:
            async with asyncio.timeout(think_time.draw_seconds()):
                await self._is_retired.wait()
        except TimeoutError:
            # Thought to the end.
            return


class DeclaredScript:
    """Declared steps of any protocols, each run by its client; a failed one does not end the iteration."""

    def __init__(self, steps: Sequence[StepTemplate], dialogue: Dialogue, clients: UserClients) -> None:
        self._steps = steps
        self._dialogue = dialogue
        self._clients = clients

    @property
    def connections(self) -> Sequence[HttpConnection]:
        """HTTP connections that its clients have opened last."""
        return self._clients.connections

    @property
    def measurement(self) -> Measurement:
        """Where its calls are measured."""
        return self._clients.measurement

    def expire(self, now: float, task: asyncio.Task[None]) -> None:
        """Give up HTTP requests; other clients look after their time limits themselves."""
        for connection in self._clients.connections:
            connection.expire(now)

    def prepare(self) -> bool:
        """Take the rows of feeds; whether there were any."""
        return self._dialogue.begin()

    async def iterate(self) -> bool:
        """Run the steps in order, until one lacks what later ones need of it."""
        has_got_through = False
        for template in self._steps:
            goes_on, got_through = await self._run(template)
            has_got_through = has_got_through or got_through
            if not goes_on:
                break
        return has_got_through

    async def close(self) -> None:
        """Close the clients."""
        await self._clients.close()

    async def _run(self, template: StepTemplate) -> tuple[bool, bool]:
        """Whether the iteration goes on, and whether the peer sets its pace."""
        step = self._dialogue.filled_step(template)
        self.measurement.step_name = step.name
        client = self._clients.of_action(step.WhichOneof("action") or "")
        try:
            finding = self._dialogue.heard(step.name, await client.run(step))
            goes_on, got_through = finding.goes_on, True
            if finding.rejection is not None:
                client.reject(finding.rejection)
        except CallError as error:
            goes_on, got_through = self._failed(step.name, error.reply), error.took_its_time
        think_time = pause_of(step.think_time)
        if think_time is not None:
            await asyncio.sleep(think_time.draw_seconds())
        return goes_on, got_through

    def _failed(self, step_name: str, reply: CallReply | None) -> bool:
        """The call has failed, and was counted; whether the iteration goes on."""
        if reply is None:
            return self._dialogue.missed(step_name)
        return self._dialogue.heard(step_name, reply).goes_on
