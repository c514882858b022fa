"""A job in this datacenter: its workflows, and the shards that workers run."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from hyperscale.manager.models.allocation import WorkflowKey
from hyperscale.manager.models.extension import NO_TIME_GRANTED, GrantedTime
from hyperscale.manager.stats import JobStatistics
from hyperscale.manager.workflow_lifecycle import WorkflowLifecycle
from hyperscale.runtime.transitions import Lifecycle
from hyperscale.v1.dispatch_pb2 import JobDispatch
from hyperscale.v1.job_pb2 import ContextValue, JobStatus, WorkflowContext
from hyperscale.v1.workflow_pb2 import WORKFLOW_ROLE_SETUP, WORKFLOW_ROLE_TEARDOWN, Workflow
from hyperscale.workload.context import MAX_CONTEXT_BYTES, ContextTooLargeError, ProvidedValues, size_of
from hyperscale.workload.graph import WorkflowGraph
from hyperscale.workload.spans import LoadSpans

MAX_ERRORS = 100
"""Causes kept per job; a thousand shards that fail alike do not make a longer story."""


class ShardPhase(Enum):
    """How far a shard is."""

    UNPLACED = "unplaced"
    """No worker has it, nor can have it; waits for cores."""
    PLACING = "placing"
    """Cores are reserved, the worker has not answered yet."""
    UNANSWERED = "unanswered"
    """Cores are reserved, the worker's answer was lost: it may make load. What it reports, or its silence, will tell."""
    PLACED = "placed"
    """The worker has it and has not reported."""
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED_PHASES = frozenset({ShardPhase.COMPLETED, ShardPhase.FAILED, ShardPhase.CANCELLED})


@dataclass(slots=True)
class AssignedShard:
    """The part of a workflow that one worker runs.

    Attributes
    ----------
    worker_id
        Worker that has it, may have it, or is being asked; empty while it is unplaced.
    attempt
        Rises whenever another worker is asked, so that no two workers ever run the same attempt.
    waiting_since_seconds
        Monotonic time since which no worker has taken it; None before anybody was asked, and once one has.
    merge_fault
        Why its last totals could not be merged; empty when they were.
    due_at_seconds
        Monotonic time by which the attempt was to have ended; infinite until its assignment is durable.
    extension
        Time it was granted beyond that.
    stop_deadline_seconds
        Monotonic time at which it is given up, having been told to stop because it is late; None while it was not.
    """

    shard_id: str
    workflow: Workflow
    cores: int
    worker_id: str
    attempt: int
    phase: ShardPhase = ShardPhase.PLACING
    progress_sequence: int = 0
    cause: str = ""
    waiting_since_seconds: float | None = None
    merge_fault: str = ""
    due_at_seconds: float = math.inf
    extension: GrantedTime = NO_TIME_GRANTED
    stop_deadline_seconds: float | None = None

    @property
    def ends_at_seconds(self) -> float:
        """Monotonic time by which it must have ended, as far as its own load goes."""
        return self.due_at_seconds + self.extension.seconds

    @property
    def slot(self) -> tuple[str, int]:
        """The attempt, under which what it has measured is kept."""
        return self.shard_id, self.attempt

    @property
    def has_ended(self) -> bool:
        """Whether it makes no load any more and never will."""
        return self.phase in ENDED_PHASES

    @property
    def is_with_worker(self) -> bool:
        """Whether a worker runs it, or may do so."""
        return not self.has_ended and self.phase is not ShardPhase.UNPLACED


@dataclass(slots=True)
class WorkflowRun:
    """A workflow of a job and its shards.

    Attributes
    ----------
    users
        Virtual users here; 0 when the job was divided and nothing fell to this datacenter.
    waits_for
        Why a workflow whose dependencies are done has not been started; empty when there is no such reason.
    shards
        By shard number; empty while no worker has been chosen.
    offers
        How often workers were chosen; the attempt of the next shards is one more.
    start_at_seconds
        Wall clock at which all shards are to start; None until their assignment is durable.
    provided
        What its shards have provided to the workflows that depend on it.
    """

    key: WorkflowKey
    workflow: Workflow
    users: int
    lifecycle: WorkflowLifecycle
    waits_for: str = ""
    shards: list[AssignedShard] = field(default_factory=list)
    offers: int = 0
    start_at_seconds: float | None = None
    provided: ProvidedValues = field(default_factory=ProvidedValues)

    @property
    def live_shards(self) -> list[AssignedShard]:
        """Shards that have not ended."""
        return [shard for shard in self.shards if not shard.has_ended]

    @property
    def is_once(self) -> bool:
        """Whether it is a setup or teardown, which no second worker may be given."""
        return self.workflow.role in {WORKFLOW_ROLE_SETUP, WORKFLOW_ROLE_TEARDOWN}

    @property
    def cores(self) -> int:
        """Cores that work on it now."""
        return sum(shard.cores for shard in self.shards if shard.is_with_worker)


@dataclass(slots=True)
class DatacenterJob:
    """A job that has not ended here.

    Attributes
    ----------
    leadership_token
        Token of the leadership under which it is run; its shards carry it as their fence.
    failing
        A workflow has failed, the rest is being stopped.
    settle_deadline_seconds
        Monotonic time at which shards that were told to stop are given up; None while nothing is being stopped.
    first_load_at_seconds
        Wall clock of the worker that made the first load; None before.
    spans
        How long attempts at shards have made load.
    due_at_seconds
        Monotonic time of its timeout, without what it was extended by.
    commit_lock
        Serializes writes of the job's record.
    """

    dispatch: JobDispatch
    leadership_token: int
    accepted_at_seconds: float
    lifecycle: Lifecycle[JobStatus.ValueType]
    graph: WorkflowGraph
    workflows: dict[str, WorkflowRun]
    statistics: JobStatistics
    errors: list[str] = field(default_factory=list)
    failing: bool = False
    settled: bool = False
    settle_deadline_seconds: float | None = None
    progress_sequence: int = 0
    first_load_at_seconds: float | None = None
    spans: LoadSpans[tuple[str, int]] = field(default_factory=LoadSpans)
    due_at_seconds: float = math.inf
    commit_lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def provide(self, workflow_name: str, values: Iterable[ContextValue]) -> None:
        """Keep what a shard of a workflow has provided. Raises ContextTooLargeError when it is too much for the job."""
        self.workflows[workflow_name].provided.merge(values)
        provided_bytes = sum(run.provided.size_bytes for run in self.workflows.values())
        if provided_bytes + sum(size_of(entry.values) for entry in self.dispatch.context) > MAX_CONTEXT_BYTES:
            raise ContextTooLargeError(f"workflows of the job have provided more than {MAX_CONTEXT_BYTES:,} bytes")

    def context_for(self, workflow_name: str) -> list[ContextValue]:
        """What its setup, and the workflows that this one depends on, also indirectly, have provided; its setup wins."""
        given = {entry.workflow_name: entry.values for entry in self.dispatch.context}
        merged = ProvidedValues()
        for name, run in self.workflows.items():
            if workflow_name in self.graph.dependents_of(name):
                merged.merge([*given.get(name, ()), *run.provided.values()])
        own = given.get(workflow_name, ())
        return list({value.name: value for value in (*merged.values(), *own)}.values())

    def setup_context(self) -> list[WorkflowContext]:
        """What the setups among the workflows have provided so far, for the gate."""
        return [
            WorkflowContext(workflow_name=name, values=run.provided.values())
            for name, run in self.workflows.items()
            if run.workflow.role == WORKFLOW_ROLE_SETUP
        ]

    @property
    def job_id(self) -> str:
        """Identity of the job."""
        return self.dispatch.job_id

    @property
    def is_stopping(self) -> bool:
        """Whether nothing of it may be started any more."""
        return self.settle_deadline_seconds is not None

    def stop_deadline_of(self, shard: AssignedShard) -> float | None:
        """Monotonic time at which a shard that was told to stop is given up; None when it was not told."""
        told = (shard.stop_deadline_seconds, self.settle_deadline_seconds)
        return max((deadline for deadline in told if deadline is not None), default=None)

    def stops(self, shard: AssignedShard) -> bool:
        """Whether a shard has been told to stop, alone or with all of the job, and ends without anybody taking its place."""
        return self.stop_deadline_of(shard) is not None

    @property
    def extended_seconds(self) -> float:
        """By how much its timeout is later."""
        return max((shard.extension.seconds for shard in self.shards()), default=0.0)

    @property
    def ends_at_seconds(self) -> float:
        """Monotonic time of its timeout."""
        return self.due_at_seconds + self.extended_seconds

    def shards(self) -> Iterator[AssignedShard]:
        """Every shard of every workflow."""
        return (shard for run in self.workflows.values() for shard in run.shards)

    def run_of(self, shard: AssignedShard) -> WorkflowRun:
        """The workflow the shard belongs to."""
        return self.workflows[shard.workflow.name]

    def find_shard(self, shard_id: str) -> AssignedShard | None:
        """The shard, if it belongs to the job."""
        name, _, number = shard_id.removeprefix(f"{self.job_id}/").rpartition("/")
        run = self.workflows.get(name)
        if run is None or not number.isascii() or not number.isdigit() or int(number) >= len(run.shards):
            return None
        return run.shards[int(number)]

    def next_progress_sequence(self) -> int:
        """Number of the next report to the gate."""
        self.progress_sequence += 1
        return self.progress_sequence

    def note_error(self, cause: str) -> None:
        """Keep a cause for the result, once."""
        if cause not in self.errors and len(self.errors) < MAX_ERRORS:
            self.errors.append(cause)

    def note_first_load(self, at_seconds: float) -> None:
        """A shard has made load since then, by its worker's wall clock."""
        known = self.first_load_at_seconds
        self.first_load_at_seconds = at_seconds if known is None else min(known, at_seconds)
