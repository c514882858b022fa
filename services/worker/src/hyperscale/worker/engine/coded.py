"""Coded workflows in an engine: loads the class, gives each user an instance, runs its steps and judges what they do."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter, time
from typing import Any, Final

from hyperscale.v1 import engine_pb2, job_pb2, workflow_pb2
from hyperscale.v1 import statistics_pb2 as pb
from hyperscale.worker.engine.admission import IterationStock, Seat
from hyperscale.worker.engine.clients import UserClients
from hyperscale.worker.engine.clients.http import RequestBook, UserHttp
from hyperscale.worker.engine.clients.protocol import ClientContext, Measurement
from hyperscale.worker.engine.connection import HttpConnection
from hyperscale.worker.engine.coroutine_user import CoroutineUser
from hyperscale.worker.engine.errors import PlanError
from hyperscale.worker.engine.feeds import RunFeeds
from hyperscale.worker.engine.once import is_once
from hyperscale.worker.engine.population import User, UserMaker
from hyperscale.worker.engine.recorder import Recorder
from hyperscale.worker.engine.templates import FeedRow
from hyperscale.worker.engine.unawaited import UnawaitedCalls
from hyperscale.worker.engine.user import RunParts
from hyperscale.workload.bundles import BundleError
from hyperscale.workload.context import MAX_CONTEXT_BYTES
from hyperscale.workload.feeds import FeedError
from hyperscale.workload.language.client_kinds import ClientKind
from hyperscale.workload.language.describing import metrics_of_class
from hyperscale.workload.language.errors import (
    CheckError,
    ContextError,
    RequestError,
    VariableError,
    WorkflowDefinitionError,
)
from hyperscale.workload.language.loading import LoadedBundle, UserCodeError
from hyperscale.workload.language.metrics import CustomKind, Metric
from hyperscale.workload.language.steps import BoundStep, StepDefinition, ordered_steps
from hyperscale.workload.language.workflow import Workflow
from hyperscale.workload.limits import MAX_CHECK_NAME_LENGTH, MAX_CODED_CHECKS
from hyperscale.workload.statistics import WorkflowStatistics
from hyperscale.workload.template_validation import missing_variable

StepCoroutine = Callable[[], Awaitable[object]]
_CODE: Final = "code"
"""Protocol under which exceptions of the code are counted."""
_SHOWN_NAME_LENGTH: Final = 60
_NOT_AWAITED: Final = "this call was never awaited, so that it did nothing; write await before it"
_STUBBORN_AFTER_SECONDS: Final = 2.0
"""An interrupted step may clean up for so long before it is said to go on."""


class StepTimeoutError(Exception):
    """A step did not end in time."""


class WrongReturnError(TypeError):
    """A step returned what it may not return."""


class SharedContext:
    """What the workflows before this one have provided, and what this one provides; shared by all users of an engine."""

    def __init__(self, given: Sequence[job_pb2.ContextValue]) -> None:
        self._given = {value.name: value.json for value in given}
        self._provided: dict[str, job_pb2.ContextValue] = {}
        self._provided_bytes = 0

    def use(self, name: str) -> str | None:
        """A value as JSON; None when nobody has provided it."""
        return self._given.get(name)

    def provide(self, name: str, json_text: str) -> None:
        """Keep a value. Raises ContextError when there is too much."""
        known = self._provided.get(name)
        size_bytes = len(json_text.encode()) + len(name.encode())
        known_bytes = 0 if known is None else len(known.json.encode()) + len(name.encode())
        if self._provided_bytes - known_bytes + size_bytes > MAX_CONTEXT_BYTES:
            raise ContextError(
                f"{name!r} cannot be provided: all values together have at most {MAX_CONTEXT_BYTES:,} bytes"
            )
        self._provided_bytes += size_bytes - known_bytes
        self._provided[name] = job_pb2.ContextValue(name=name, json=json_text, at_seconds=time())

    def provided(self) -> list[job_pb2.ContextValue]:
        """What was provided."""
        return list(self._provided.values())


class JobVariables(Mapping[str, str]):
    """The variables of the job, which say what is missing."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = dict(variables)

    def __getitem__(self, name: str) -> str:
        if name not in self._variables:
            raise VariableError(missing_variable(name, self._variables))
        return self._variables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)


class CheckNames:
    """The checks of each step, by all users of an engine; every one is kept and shown until the end, so there are not many."""

    def __init__(self) -> None:
        self._by_step: dict[str, set[str]] = {}

    def allow(self, step_name: str, name: str) -> None:
        """Take note of a check. Raises CheckError for one too many, and for a name that is none."""
        names = self._by_step.setdefault(step_name, set())
        if name in names:
            return
        if len(names) >= MAX_CODED_CHECKS or len(name) > MAX_CHECK_NAME_LENGTH:
            raise CheckError(
                f"check {name[:_SHOWN_NAME_LENGTH]!r}: a step has at most {MAX_CODED_CHECKS} names of checks, of at most "
                f"{MAX_CHECK_NAME_LENGTH} characters; leave out what differs from request to request"
            )
        names.add(name)


@dataclass(frozen=True, slots=True)
class GivenData:
    """What a job brings along for all users of an engine."""

    variables: JobVariables
    feeds: RunFeeds
    is_once: bool
    """Whether it is a setup or teardown, which a request that nobody caught has failed."""
    checks: CheckNames = field(default_factory=CheckNames)


@dataclass(frozen=True, slots=True)
class UserSurroundings:
    """What one user's workflow works with; see `Surroundings` of the language."""

    http: UserHttp
    clients: UserClients
    target: str
    context: SharedContext
    recorder: Recorder
    given: GivenData
    rows: dict[str, FeedRow] = field(default_factory=dict)

    @property
    def variables(self) -> Mapping[str, str]:
        """Variables of the job."""
        return self.given.variables

    def row_of(self, feed: str) -> FeedRow:
        """The current row of a feed."""
        return self.rows[feed]

    def client(self, kind: ClientKind) -> Any:
        """The user's client for a protocol, made when it is first asked for."""
        return self.clients.of_kind(kind)

    def check(self, name: str, *, passed: bool) -> None:
        """Count the outcome of a check."""
        self.given.checks.allow(self.clients.measurement.step_name, name)
        self.recorder.step_now(self.clients.measurement.step_name).checks.check(name).count(held=passed)

    def provide(self, name: str, json_text: str) -> None:
        """Keep a value for the workflows that depend on this one."""
        self.context.provide(name, json_text)

    def use(self, name: str) -> str | None:
        """A value that was provided to this one."""
        return self.context.use(name)


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
        _count_exception(self._surroundings.recorder, self.measurement.step_name, text)


def _count_exception(recorder: Recorder, step_name: str, text: str) -> None:
    statistics = recorder.step_now(step_name).protocol(_CODE)
    statistics.total_count += 1
    statistics.failures[pb.ERROR_CLASS_EXCEPTION] += 1
    recorder.note_error(step_name, text)


def _late(error: asyncio.CancelledError, step_name: str, timeout_seconds: float) -> StepTimeoutError:
    """The error of a step that took too long, from where it was."""
    late = StepTimeoutError(f"step {step_name!r} took longer than {timeout_seconds:g} s")
    return late.with_traceback(error.__traceback__)


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
            _count_exception(recorder, step_name, f"{self._bundle.place(filename, line)}: {_NOT_AWAITED}")

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
