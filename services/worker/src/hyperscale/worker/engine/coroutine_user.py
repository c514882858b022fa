"""One virtual user as one task: for what has to wait for more than one request at a time, which callbacks say badly.

It takes iterations from the same stock as the callback user, and ends and is interrupted alike. What an iteration is, its
script knows: declared steps of any protocol (`DeclaredScript`), or the steps of a class (`coded`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Protocol

from hyperscale.v1 import workflow_pb2
from hyperscale.worker.engine.clients import client_factory
from hyperscale.worker.engine.clients.protocol import CallError, ClientContext, ProtocolClient
from hyperscale.worker.engine.connection import HttpConnection
from hyperscale.worker.engine.pacing import pause_seconds
from hyperscale.worker.engine.user import Stage


class Script(Protocol):
    """What one user does, again and again."""

    @property
    def connections(self) -> Sequence[HttpConnection]:
        """HTTP connections that it has opened last."""

    async def iterate(self) -> bool:
        """Run one iteration; whether its calls got through, as far as it made any. Raises nothing but cancellation."""

    async def close(self) -> None:
        """Close what is open; called once, also after an interruption."""


class CoroutineUser:
    """Runs a script in a task of its own."""

    def __init__(self, script: Script, stage: Stage, tasks: asyncio.TaskGroup, on_ended: Callable[[], None]) -> None:
        """`on_ended` is called once, when no iteration may start any more or the user is interrupted."""
        self._script = script
        self._stock = stage.stock
        self._recorder = stage.recorder
        self._tasks = tasks
        self._on_ended = on_ended
        self._task: asyncio.Task[None] | None = None

    @property
    def connections(self) -> Sequence[HttpConnection]:
        """HTTP connections that it has opened last."""
        return self._script.connections

    def start(self) -> None:
        """Begin the first iteration, if there is one."""
        self._task = self._tasks.create_task(self._live(), name="user")
        # Not from within the task, which never runs when it is interrupted before its first turn.
        self._task.add_done_callback(lambda _: self._on_ended())

    def expire(self, now: float) -> None:
        """Give up an HTTP request that has taken too long."""
        for connection in self._script.connections:
            connection.expire(now)

    def interrupt(self) -> None:
        """End soon; calls under way count as cancelled."""
        if self._task is not None:
            self._task.cancel()

    async def _live(self) -> None:
        try:
            await self._iterate_all()
        finally:
            await self._script.close()

    async def _iterate_all(self) -> None:
        failures_in_a_row = 0
        while self._stock.take():
            started = perf_counter()
            got_through = await self._script.iterate()
            self._recorder.iterations.add(started, perf_counter(), 0)
            failures_in_a_row = 0 if got_through else failures_in_a_row + 1
            # At least one turn of the loop: code that never waits must not keep the engine from its reports.
            await asyncio.sleep(pause_seconds(failures_in_a_row) if failures_in_a_row else 0)


class DeclaredScript:
    """Declared steps, each run by the client of its protocol; a failed one does not end the iteration."""

    def __init__(self, steps: Sequence[workflow_pb2.Step], context: ClientContext) -> None:
        self._steps = steps
        self._context = context
        self._clients: dict[str, ProtocolClient] = {}

    @property
    def connections(self) -> Sequence[HttpConnection]:
        """None: HTTP clients of declared steps keep their own."""
        return ()

    async def iterate(self) -> bool:
        """Run the steps in order."""
        outcomes = [await self._run(step) for step in self._steps]
        return any(outcomes)

    async def close(self) -> None:
        """Close the clients."""
        for client in self._clients.values():
            await client.close()

    async def _run(self, step: workflow_pb2.Step) -> bool:
        self._context.measurement.step_name = step.name
        try:
            await self._client(step.WhichOneof("action") or "").run(step)
        except CallError:
            return False
        return True

    def _client(self, action: str) -> ProtocolClient:
        client = self._clients.get(action)
        if client is None:
            client = self._clients[action] = client_factory(action)(self._context)
        return client
