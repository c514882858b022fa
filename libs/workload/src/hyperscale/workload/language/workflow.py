"""The base of coded workflows."""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Final, Protocol, TypeVar

from hyperscale.workload.language.client_kinds import ClientKind
from hyperscale.workload.language.errors import ContextError, WorkflowDefinitionError
from hyperscale.workload.language.grpc import GrpcClient
from hyperscale.workload.language.http import HttpClient
from hyperscale.workload.language.profiles import Profile
from hyperscale.workload.language.sockets import TcpClient, UdpClient
from hyperscale.workload.language.steps import is_step
from hyperscale.workload.language.websocket import WebSocketClient

DONE_ONCE: Final = ("setup", "teardown")
"""Coroutines of a workflow that are no steps."""
_DEPENDENCIES: Final = "hyperscale_depends_on"
_LIKE_A_SETTING: Final = 0.75
"""How alike a name must be to count as misspelt: `duraton` is (0.93), `location` is not (0.63)."""

WorkflowT = TypeVar("WorkflowT", bound="Workflow")
_REQUIRED: Final = object()


class OnceScope(Enum):
    """Where `Workflow.setup` and `Workflow.teardown` are run."""

    JOB = "job"
    """In one of the datacenters; what setup provides reaches all of them."""
    DATACENTER = "datacenter"
    """In every datacenter; what setup provides stays there."""


class Surroundings(Protocol):
    """What an engine gives each user's workflow."""

    @property
    def http(self) -> HttpClient:
        """The user's HTTP client."""
        ...

    @property
    def target(self) -> str:
        """Base URL of the job."""
        ...

    @property
    def variables(self) -> Mapping[str, str]:
        """Variables of the job; raises `VariableError` for what is none."""
        ...

    def row_of(self, feed: str) -> Mapping[str, str]:
        """The user's current row of a feed."""
        ...

    def client(self, kind: ClientKind) -> Any:
        """The user's client for another protocol, made when it is first asked for and closed with the user."""
        ...

    def check(self, name: str, *, passed: bool) -> None:
        """Count the outcome of a check."""
        ...

    def provide(self, name: str, json_text: str) -> None:
        """Keep a value for the workflows that depend on this one."""
        ...

    def use(self, name: str) -> str | None:
        """A value that was provided to this one, as JSON; None when there is none."""
        ...


class Workflow:
    """What virtual users do: a class with `step` coroutines, of which each user has an instance of its own.

    The load is `vus` users for `duration`, or a `profile`. Whatever a user keeps between its steps and iterations it keeps
    in attributes of the instance; `__init__` takes no arguments.
    """

    vus: ClassVar[int] = 1
    """Users over all workers, when there is no profile."""
    duration: ClassVar[str] = "10s"
    """Time during which iterations start, when there is no profile."""
    profile: ClassVar[Profile | None] = None
    """Any other load."""
    think_time: ClassVar[str] = ""
    """Pause of a user between two iterations, such as '500ms'."""
    graceful_stop: ClassVar[str] = ""
    """Longest wait for iterations under way once the load's time is up; default 30s."""
    timeout_seconds: ClassVar[float] = 60.0
    """Longest time for one run of a step."""
    descriptor_set: ClassVar[str] = ""
    """File that describes the methods of `grpc` calls, beside the workflow's own: a FileDescriptorSet with all imports."""
    once_per: ClassVar[OnceScope] = OnceScope.JOB
    """Where `setup` and `teardown` are run."""
    setup_timeout: ClassVar[str] = ""
    """Longest time for `setup`; default 60s."""
    teardown_timeout: ClassVar[str] = ""
    """Longest time for `teardown`; default 60s."""

    _surroundings: Surroundings

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Raises WorkflowDefinitionError for an attribute that looks like a misspelt one of these."""
        super().__init_subclass__(**arguments)
        for name, value in vars(cls).items():
            meant = _misspelt(name, value) or _misspelt_once(name, value, vars(cls))
            if meant:
                raise WorkflowDefinitionError(
                    f"{cls.__name__}.{name} means nothing; did you mean {meant!r}? (If it is your own, name it otherwise.)"
                )

    async def setup(self) -> None:
        """Run once, before any load of the job, in an instance of its own; what it provides, every user can `use`.

        An exception in it is the end of the job.
        """

    async def teardown(self) -> None:
        """Run once, after all load of the job has ended, whatever became of it, when `setup` had begun; in an instance of
        its own, which can `use` what setup has provided.
        """

    def enter(self, surroundings: Surroundings) -> None:
        """Called by the engine, once, before anything else."""
        self._surroundings = surroundings

    @property
    def http(self) -> HttpClient:
        """HTTP requests, each measured as one of the current step."""
        return self._surroundings.http

    @property
    def grpc(self) -> GrpcClient:
        """GRPC calls, each measured as one of the current step."""
        client: GrpcClient = self._surroundings.client(ClientKind.GRPC)
        return client

    @property
    def ws(self) -> WebSocketClient:
        """WebSockets, each session measured as a call of the current step."""
        client: WebSocketClient = self._surroundings.client(ClientKind.WEBSOCKET)
        return client

    @property
    def tcp(self) -> TcpClient:
        """TCP connections, each use measured as a call of the current step."""
        client: TcpClient = self._surroundings.client(ClientKind.TCP)
        return client

    @property
    def udp(self) -> UdpClient:
        """UDP sockets, each use measured as a call of the current step."""
        client: UdpClient = self._surroundings.client(ClientKind.UDP)
        return client

    @property
    def target(self) -> str:
        """Base URL of the job; empty when it has none."""
        return self._surroundings.target

    @property
    def variables(self) -> Mapping[str, str]:
        """Variables of the job: from `Job.variables`, and from `--var NAME=VALUE`, which wins.

        ``self.variables["name"]`` raises `VariableError` when there is none; ``self.variables.get("name", "else")`` does not.
        """
        return self._surroundings.variables

    def row_of(self, feed: str) -> Mapping[str, str]:
        """The current row of a feed, which its attribute is too."""
        return self._surroundings.row_of(feed)

    def check(self, name: str, condition: object) -> bool:
        """Count whether something is as it should be; returns that. A failed check fails nothing else."""
        passed = bool(condition)
        self._surroundings.check(name, passed=passed)
        return passed

    def provide(self, name: str, value: Any) -> None:
        """Provide a JSON value to the workflows that depend on this one; of several values of a name the last one stays.

        Raises
        ------
        ContextError
            The value is not JSON, or everything provided together is larger than 1 MiB.
        """
        try:
            text = json.dumps(value, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ContextError(f"{name!r} cannot be provided, it is not JSON: {error}") from error
        self._surroundings.provide(name, text)

    def use(self, name: str, default: Any = _REQUIRED) -> Any:
        """A value that `setup`, or a workflow this one depends on, has provided; of both, that of `setup`.

        Raises
        ------
        ContextError
            Nobody has provided it, and there is no default.
        """
        text = self._surroundings.use(name)
        if text is not None:
            return json.loads(text)
        if default is _REQUIRED:
            raise ContextError(f"neither setup nor a workflow that this one depends on has provided {name!r}")
        return default


def _misspelt(name: str, value: object) -> str:
    """The setting that is likely meant by an attribute which is none, but has a name and a value like one; else empty."""
    settings = {
        setting: default
        for setting, default in vars(Workflow).items()
        if not setting.startswith("_") and not callable(default) and not isinstance(default, property)
    }
    if name in settings:
        return ""
    like = [setting for setting, default in settings.items() if _is_of_one_kind(value, default)]
    return next(iter(difflib.get_close_matches(name, like, n=1, cutoff=_LIKE_A_SETTING)), "")


def _misspelt_once(name: str, value: object, beside: Mapping[str, object]) -> str:
    """What is done once that is likely meant by a coroutine nobody would run; empty when there is no such likeness."""
    if not inspect.iscoroutinefunction(value) or is_step(value) or name.startswith("_") or name in DONE_ONCE:
        return ""
    like = [once for once in DONE_ONCE if once not in beside and abs(len(once) - len(name)) <= 1]
    return next(iter(difflib.get_close_matches(name, like, n=1, cutoff=_LIKE_A_SETTING)), "")


def _is_of_one_kind(value: object, default: object) -> bool:
    if default is None:
        return isinstance(value, Profile)
    return isinstance(value, (int, float) if isinstance(default, int | float) else type(default))


def depends(*workflows: str | type[Workflow]) -> Callable[[type[WorkflowT]], type[WorkflowT]]:
    """Let a workflow start when others are done, named or given as classes; it can `use` what they provide."""

    def mark(workflow_class: type[WorkflowT]) -> type[WorkflowT]:
        names = tuple(other if isinstance(other, str) else other.__name__ for other in workflows)
        setattr(workflow_class, _DEPENDENCIES, names)
        return workflow_class

    return mark


def dependencies_of(workflow_class: type[Workflow]) -> tuple[str, ...]:
    """Names of the workflows that a class depends on, its base classes not asked."""
    names: tuple[str, ...] = vars(workflow_class).get(_DEPENDENCIES, ())
    return names


ThresholdForm = str | Mapping[str, Any]
"""An expression, or the fields of a threshold in a job file."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a job says beside its workflows; assign one to a variable of the file. The fields are those of job files."""

    name: str = ""
    target: str = ""
    thresholds: Mapping[str, ThresholdForm | Sequence[ThresholdForm]] = field(default_factory=dict)
    """By metric: an expression such as ``"rate < 1%"``; ``{"expression": "rate < 1%", "abort_on_fail": True,
    "abort_delay": "10s"}``; or several of these in a list."""
    datacenters: Sequence[str] | Mapping[str, Any] = ()
    """Names of those that the job runs in, all of them; or, as in a job file, ``{"count": 2, "preferred": ["near"]}`` and so on."""
    distribution: str = ""
    timeout: str = ""
    http_options: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    """What `Workflow.variables` has unless ``--var`` says otherwise."""

    def __post_init__(self) -> None:
        if not isinstance(self.thresholds, Mapping):
            raise WorkflowDefinitionError("thresholds of a Job are expressions by metric")
        if isinstance(self.datacenters, str):
            raise WorkflowDefinitionError(f"datacenters of a Job are a list of names: [{self.datacenters!r}]")
