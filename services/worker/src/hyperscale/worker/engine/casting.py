"""Which kind of users a workflow has: state machines over callbacks where that is enough, tasks for everything else."""

from __future__ import annotations

import asyncio
from typing import Protocol

from hyperscale.v1 import engine_pb2
from hyperscale.worker.engine.admission import IterationStock, Seat
from hyperscale.worker.engine.clients import UserClients, load_client
from hyperscale.worker.engine.clients.protocol import ClientContext, Measurement
from hyperscale.worker.engine.coded import CodedCasting
from hyperscale.worker.engine.coroutine_user import CoroutineUser, DeclaredScript
from hyperscale.worker.engine.dialogue import Dialogues
from hyperscale.worker.engine.errors import PlanError
from hyperscale.worker.engine.once import OnceCasting, is_once
from hyperscale.worker.engine.plan import runs_on_callbacks
from hyperscale.worker.engine.population import User, UserMaker
from hyperscale.worker.engine.step_templates import StepTemplate
from hyperscale.worker.engine.user import RunParts, VirtualUser


class Casting(Protocol):
    """Makes the users of a run."""

    def user_maker(self, parts: RunParts, tasks: asyncio.TaskGroup) -> UserMaker:
        """What makes one user after the other; their tasks belong to the run."""

    def conclude(self, progress: engine_pb2.EngineProgress) -> None:
        """Add what only it knows to the last report, and clean up."""


class CallbackCasting:
    """Declared steps that are all HTTP: no task per request."""

    def __init__(self, start: engine_pb2.EngineStart) -> None:
        """Raises PlanError."""
        self._dialogues = Dialogues(start)

    def user_maker(self, parts: RunParts, tasks: asyncio.TaskGroup) -> UserMaker:
        """See `Casting`."""

        def make(stock: IterationStock, seat: Seat) -> User:
            return VirtualUser(parts, stock, seat, self._dialogues.of_next_user(parts.plan, parts.recorder))

        return make

    def conclude(self, progress: engine_pb2.EngineProgress) -> None:
        """Hand over what a setup has extracted."""
        progress.provided.extend(self._dialogues.provided())


class DeclaredCasting:
    """Declared steps of which at least one is not HTTP: each is run by the client of its protocol."""

    def __init__(self, start: engine_pb2.EngineStart) -> None:
        """Raises PlanError."""
        self._start = start
        self._dialogues = Dialogues(start)
        try:
            for action in {step.WhichOneof("action") or "" for step in start.workflow.steps}:
                load_client(action)
            self._steps = [StepTemplate(step) for step in start.workflow.steps]
        except ValueError as error:
            raise PlanError(f"workflow {start.workflow.name!r}: {error}") from error

    def user_maker(self, parts: RunParts, tasks: asyncio.TaskGroup) -> UserMaker:
        """See `Casting`."""

        def make(stock: IterationStock, seat: Seat) -> User:
            start = self._start
            context = ClientContext(Measurement(parts.recorder), start.target, start.http_options, parts)
            dialogue = self._dialogues.next_dialogue(parts.recorder)
            script = DeclaredScript(self._steps, dialogue, UserClients(context))
            return CoroutineUser(script, parts, tasks, stock, seat)

        return make

    def conclude(self, progress: engine_pb2.EngineProgress) -> None:
        """Hand over what a setup has extracted."""
        progress.provided.extend(self._dialogues.provided())


def casting_of(start: engine_pb2.EngineStart) -> Casting:
    """How the workflow is cast. Raises PlanError."""
    casting = _casting_of(start)
    return OnceCasting(start.workflow, casting) if is_once(start.workflow) else casting


def _casting_of(start: engine_pb2.EngineStart) -> Casting:
    if start.workflow.class_name:
        return CodedCasting(start)
    return CallbackCasting(start) if runs_on_callbacks(start.workflow) else DeclaredCasting(start)
