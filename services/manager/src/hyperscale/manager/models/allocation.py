"""Who asks for cores, who has them, and who gets them."""

from __future__ import annotations

from dataclasses import dataclass

from hyperscale.v1 import workflow_pb2
from hyperscale.v1.node_pb2 import OVERLOAD_STATE_HEALTHY, OverloadState


@dataclass(frozen=True, slots=True, order=True)
class WorkflowKey:
    """A workflow of a job in this datacenter."""

    job_id: str
    workflow_name: str


@dataclass(frozen=True, slots=True)
class CoreRequest:
    """A workflow that is ready to run.

    Attributes
    ----------
    users
        Virtual users in this datacenter, at least 1; it never gets more cores than users.
    """

    key: WorkflowKey
    priority: workflow_pb2.Priority.ValueType
    users: int


@dataclass(frozen=True, slots=True)
class WorkerCapacity:
    """Cores of a worker that nobody has reserved; one that is overloaded has none to give."""

    worker_id: str
    free_cores: int
    overload: OverloadState.ValueType = OVERLOAD_STATE_HEALTHY


@dataclass(frozen=True, slots=True)
class CorePool:
    """The cores of a datacenter at one moment.

    Attributes
    ----------
    is_idle
        No core is reserved, so that an exclusive workflow may start.
    is_exclusive
        An exclusive workflow runs, so that nothing else may start.
    """

    workers: tuple[WorkerCapacity, ...]
    is_idle: bool
    is_exclusive: bool

    @property
    def free_cores(self) -> int:
        """Cores that nobody has reserved."""
        return sum(worker.free_cores for worker in self.workers)


@dataclass(frozen=True, slots=True)
class CorePlacement:
    """Cores of one worker for one shard."""

    worker_id: str
    cores: int


@dataclass(frozen=True, slots=True)
class Allocation:
    """The cores a workflow gets: one placement per shard."""

    key: WorkflowKey
    placements: tuple[CorePlacement, ...]

    @property
    def cores(self) -> int:
        """Cores over all workers."""
        return sum(placement.cores for placement in self.placements)
