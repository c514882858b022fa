"""The life of a workflow in this datacenter.

A workflow changes its status only by this table. Each accepted change is kept with time and reason. Nothing is called
from here: whoever moves a workflow tells the interested when the whole step is done.
"""

from __future__ import annotations

from typing import Final

from hyperscale.manager.models.lifecycle import StatusChange
from hyperscale.runtime.transitions import TransitionTable
from hyperscale.v1.job_pb2 import (
    WORKFLOW_STATUS_AGGREGATED,
    WORKFLOW_STATUS_AGGREGATION_FAILED,
    WORKFLOW_STATUS_CANCELLED,
    WORKFLOW_STATUS_CANCELLING,
    WORKFLOW_STATUS_COMPLETED,
    WORKFLOW_STATUS_DISPATCHED,
    WORKFLOW_STATUS_FAILED,
    WORKFLOW_STATUS_PENDING,
    WORKFLOW_STATUS_RUNNING,
    WorkflowStatus,
)

TRANSITIONS: Final[TransitionTable[WorkflowStatus.ValueType]] = TransitionTable(
    {
        WORKFLOW_STATUS_PENDING: {WORKFLOW_STATUS_DISPATCHED, WORKFLOW_STATUS_CANCELLING, WORKFLOW_STATUS_FAILED},
        WORKFLOW_STATUS_DISPATCHED: {WORKFLOW_STATUS_RUNNING, WORKFLOW_STATUS_CANCELLING, WORKFLOW_STATUS_FAILED},
        WORKFLOW_STATUS_RUNNING: {WORKFLOW_STATUS_COMPLETED, WORKFLOW_STATUS_FAILED, WORKFLOW_STATUS_CANCELLING},
        WORKFLOW_STATUS_COMPLETED: {WORKFLOW_STATUS_AGGREGATED, WORKFLOW_STATUS_AGGREGATION_FAILED},
        WORKFLOW_STATUS_FAILED: {WORKFLOW_STATUS_CANCELLED},
        WORKFLOW_STATUS_CANCELLING: {WORKFLOW_STATUS_CANCELLED},
        WORKFLOW_STATUS_AGGREGATED: (),
        WORKFLOW_STATUS_AGGREGATION_FAILED: (),
        WORKFLOW_STATUS_CANCELLED: (),
    },
    WorkflowStatus.Name,
)

ENDED: Final = frozenset(
    {
        WORKFLOW_STATUS_AGGREGATED,
        WORKFLOW_STATUS_AGGREGATION_FAILED,
        WORKFLOW_STATUS_FAILED,
        WORKFLOW_STATUS_CANCELLED,
    }
)
"""Statuses in which a workflow makes no load any more and its dependents know what to do."""


class WorkflowLifecycle:
    """Status of one workflow and how it came to it."""

    __slots__ = ("_history", "_name")

    def __init__(self, name: str, created_at_seconds: float) -> None:
        self._name = name
        self._history = [StatusChange(WORKFLOW_STATUS_PENDING, created_at_seconds, "")]

    @property
    def status(self) -> WorkflowStatus.ValueType:
        """The status now."""
        return self._history[-1].status

    @property
    def reason(self) -> str:
        """Why it has this status."""
        return self._history[-1].reason

    @property
    def history(self) -> tuple[StatusChange, ...]:
        """Every accepted change, oldest first; as long as the longest path through the table at most."""
        return tuple(self._history)

    @property
    def has_ended(self) -> bool:
        """Whether it makes no load any more and never will."""
        return self.status in ENDED

    def move(self, status: WorkflowStatus.ValueType, at_seconds: float, reason: str = "") -> None:
        """Change the status; raises `IllegalTransitionError`."""
        TRANSITIONS.check(f"workflow {self._name}", self.status, status)
        self._history.append(StatusChange(status, at_seconds, reason))
