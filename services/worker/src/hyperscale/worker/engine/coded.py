"""Coded workflows in an engine: loads the class, gives each user an instance, and hands over what was provided."""

from __future__ import annotations

import asyncio
import math
from typing import Any, Final

from hyperscale.v1 import engine_pb2, workflow_pb2
from hyperscale.worker.engine.admission import IterationStock, Seat
from hyperscale.worker.engine.clients import UserClients
from hyperscale.worker.engine.clients.http import RequestBook, UserHttp
from hyperscale.worker.engine.clients.protocol import ClientContext, Measurement
from hyperscale.worker.engine.coded_script import CodedScript, count_exception
from hyperscale.worker.engine.coded_surroundings import GivenData, JobVariables, SharedContext, UserSurroundings
from hyperscale.worker.engine.coroutine_user import CoroutineUser
from hyperscale.worker.engine.errors import PlanError
from hyperscale.worker.engine.feeds import RunFeeds
from hyperscale.worker.engine.once import is_once
from hyperscale.worker.engine.population import User, UserMaker
from hyperscale.worker.engine.recorder import Recorder
from hyperscale.worker.engine.unawaited import UnawaitedCalls
from hyperscale.worker.engine.user import RunParts
from hyperscale.workload.bundles import BundleError
from hyperscale.workload.feeds import FeedError
from hyperscale.workload.language.describing import metrics_of_class
from hyperscale.workload.language.errors import WorkflowDefinitionError
from hyperscale.workload.language.loading import LoadedBundle, UserCodeError
from hyperscale.workload.language.metrics import CustomKind, Metric
from hyperscale.workload.language.steps import BoundStep, StepDefinition, ordered_steps
from hyperscale.workload.language.workflow import Workflow
from hyperscale.workload.statistics import WorkflowStatistics

_NOT_AWAITED: Final = "this call was never awaited, so that it did nothing; write await before it"


class CodedCasting:
    """A workflow whose steps are the coroutines of a class."""

    def __init__(self, start: engine_pb2.EngineStart) -> None:
        """Load the class. Raises PlanError when that fails."""
        self._start = start
        self._context = SharedContext(start.context)
        self._given = GivenData(JobVariables(start.variables), _feeds_of(start.workflow), is_once(start.workflow))
        self._unawaited: UnawaitedCalls | None = None
        name = start.workflow.class_name
        try:
            self._bundle = LoadedBundle(start.bundle)
        except (BundleError, UserCodeError) as error:
            raise PlanError(f"code of workflow {start.workflow.name!r}: {error}") from error
        try:
            self._class = self._load_class(name)
            self._steps = _steps_of(self._class, start.workflow)
            self._metrics = metrics_of_class(self._class)
            self._check_steps()
        except (PlanError, WorkflowDefinitionError) as error:
            self._bundle.unload()
            raise PlanError(f"code of workflow {start.workflow.name!r}: {error}") from error

    def user_maker(self, parts: RunParts, tasks: asyncio.TaskGroup) -> UserMaker:
        """See `Casting`."""
        parts.recorder.measure_with(self._measure)
        self._watch_unawaited(parts.recorder)
        book = RequestBook(parts, self._start.target)

        def make(stock: IterationStock, seat: Seat) -> User:
            start = self._start
            clients = UserClients(ClientContext(Measurement(parts.recorder), start.target, start.http_options, parts))
            http = UserHttp(parts, book, clients.measurement)
            surroundings = UserSurroundings(http, clients, start.target, self._context, parts.recorder, self._given)
            script = CodedScript(self._instance(surroundings), self._steps, surroundings, self._bundle)
            return CoroutineUser(script, parts, tasks, stock, seat)

        return make

    def conclude(self, progress: engine_pb2.EngineProgress) -> None:
        """Hand over what was provided, and forget the code."""
        progress.provided.extend(self._context.provided())
        if self._unawaited is not None:
            self._unawaited.close()
        self._bundle.unload()

    def _watch_unawaited(self, recorder: Recorder) -> None:
        def tell(step_name: str, filename: str, line: int) -> None:
            count_exception(recorder, step_name, f"{self._bundle.place(filename, line)}: {_NOT_AWAITED}")

        functions = {step.definition.name: getattr(self._class, step.attribute) for step in self._steps}
        self._unawaited = UnawaitedCalls({function.__code__: name for name, function in functions.items()}, tell)
        self._unawaited.watch()

    def _load_class(self, name: str) -> type[Workflow]:
        found: Any = getattr(self._bundle.module, name, None)
        if not (isinstance(found, type) and issubclass(found, Workflow)):
            raise PlanError(f"{self._start.bundle.module}.py has no class {name} that is based on Workflow")
        return found

    def _check_steps(self) -> None:
        names = [step.definition.name for step in self._steps]
        if names != [step.name for step in self._start.workflow.steps]:
            raise PlanError(f"class {self._class.__name__} has the steps {', '.join(names)}, the job names others")

    def _instance(self, surroundings: UserSurroundings) -> Workflow:
        try:
            workflow = self._class()
        except (Exception, SystemExit) as error:
            raise PlanError(f"code of workflow {self._start.workflow.name!r}: {self._bundle.explain(error)}") from error
        workflow.enter(surroundings)
        return workflow

    def _measure(self, window: WorkflowStatistics, now_seconds: float) -> None:
        """Add what the metrics of the class have been told since the last time."""
        for metric in self._metrics:
            values = metric.take()
            if values:
                _add(window, metric, values, now_seconds)


def _steps_of(workflow_class: type[Workflow], workflow: workflow_pb2.Workflow) -> list[BoundStep]:
    """What one iteration runs; a setup or teardown is limited in time as a whole."""
    if not is_once(workflow):
        return ordered_steps(workflow_class)
    return [BoundStep(StepDefinition(step.name, (), math.inf), step.name) for step in workflow.steps]


def _feeds_of(workflow: workflow_pb2.Workflow) -> RunFeeds:
    try:
        return RunFeeds(workflow)
    except FeedError as error:
        raise PlanError(f"workflow {workflow.name!r}: {error}") from error


def _add(window: WorkflowStatistics, metric: Metric, values: list[float], now_seconds: float) -> None:
    totals = window.custom_metrics
    match metric.kind:
        case CustomKind.COUNTER:
            totals.count(metric.name, int(sum(values)))
        case CustomKind.RATE:
            totals.see(metric.name, matching=int(sum(values)), total=len(values))
        case CustomKind.TREND:
            totals.record_many(metric.name, values)
        case CustomKind.GAUGE:
            totals.note_many(metric.name, values, now_seconds)
