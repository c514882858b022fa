"""What the control process knows about shards."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.v1.dispatch_pb2 import WorkflowDispatchAck
from hyperscale.v1.workflow_pb2 import Workflow


class ShardStopCause(Enum):
    """Why a shard ends before its load was made."""

    CANCELLED = auto()
    """A manager asked for it: the shard ends CANCELLED."""
    BROKEN = auto()
    """The shard cannot go on: it ends FAILED."""


@dataclass(frozen=True, slots=True)
class StopReason:
    """Why a shard is stopped, for programs and for people."""

    cause: ShardStopCause
    text: str


@dataclass(frozen=True, slots=True)
class CodePolicy:
    """Whether this worker runs the code of users."""

    worker_id: str
    allow_python: bool

    def require_allowed(self, workflow: Workflow) -> None:
        """Raises PYTHON_NOT_ALLOWED for a workflow with code that is not run here."""
        if workflow.class_name and not self.allow_python:
            raise HyperscaleError(ErrorReason.PYTHON_NOT_ALLOWED, metadata={"worker_id": self.worker_id})


@dataclass(frozen=True, slots=True)
class StopLimits:
    """How long a shard may take to stop.

    Parameters
    ----------
    graceful_seconds
        Given to iterations under way; then they are interrupted.
    interrupt_seconds
        Given to an interrupted engine to report; then it is killed.
    """

    graceful_seconds: float
    interrupt_seconds: float


@dataclass(frozen=True, slots=True)
class ShardAdmission:
    """A dispatch that was let in: the answer, and the engine slots reserved by this call, none when it is a repetition."""

    ack: WorkflowDispatchAck
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EngineShare:
    """The engine that runs one part of a shard."""

    slot: int
    pid: int


@dataclass(frozen=True, slots=True)
class ExecutionSettings:
    """What every shard of a worker has in common.

    Parameters
    ----------
    engine_stall_seconds
        An engine silent for longer is killed.
    interrupt_seconds
        Given to the other engines of a broken shard to report; then they are killed.
    window_tolerance_seconds
        How long after its second a window waits for slow engines.
    extension_lead_seconds
        How long before its deadline a shard that needs more time begins to ask for it.
    """

    worker_id: str
    engine_stall_seconds: float
    interrupt_seconds: float
    window_tolerance_seconds: float
    extension_lead_seconds: float
