"""What the workflow of one coded user works with: clients, variables, feeds, values of other workflows, and where checks are counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import time
from typing import Any, Final

from hyperscale.v1 import job_pb2
from hyperscale.worker.engine.clients import UserClients
from hyperscale.worker.engine.clients.http import UserHttp
from hyperscale.worker.engine.feeds import RunFeeds
from hyperscale.worker.engine.recorder import Recorder
from hyperscale.worker.engine.templates import FeedRow
from hyperscale.workload.context import MAX_CONTEXT_BYTES
from hyperscale.workload.language.client_kinds import ClientKind
from hyperscale.workload.language.errors import CheckError, ContextError, VariableError
from hyperscale.workload.limits import MAX_CHECK_NAME_LENGTH, MAX_CODED_CHECKS
from hyperscale.workload.template_validation import missing_variable

_SHOWN_NAME_LENGTH: Final = 60


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
