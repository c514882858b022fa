"""The life of a job in this datacenter: its status changes only by this table."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from hyperscale.manager.models.lifecycle import IllegalTransitionError, StatusChange
from hyperscale.v1.job_pb2 import (
    JOB_STATUS_CANCELLED,
    JOB_STATUS_CANCELLING,
    JOB_STATUS_COMPLETED,
    JOB_STATUS_COMPLETING,
    JOB_STATUS_DISPATCHING,
    JOB_STATUS_FAILED,
    JOB_STATUS_QUEUED,
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUBMITTED,
    JobStatus,
)

TRANSITIONS: Final[Mapping[JobStatus.ValueType, frozenset[JobStatus.ValueType]]] = MappingProxyType(
    {
        JOB_STATUS_SUBMITTED: frozenset(
            {JOB_STATUS_QUEUED, JOB_STATUS_DISPATCHING, JOB_STATUS_FAILED, JOB_STATUS_CANCELLING}
        ),
        JOB_STATUS_QUEUED: frozenset({JOB_STATUS_DISPATCHING, JOB_STATUS_FAILED, JOB_STATUS_CANCELLING}),
        JOB_STATUS_DISPATCHING: frozenset({JOB_STATUS_RUNNING, JOB_STATUS_FAILED, JOB_STATUS_CANCELLING}),
        JOB_STATUS_RUNNING: frozenset({JOB_STATUS_COMPLETING, JOB_STATUS_FAILED, JOB_STATUS_CANCELLING}),
        JOB_STATUS_COMPLETING: frozenset({JOB_STATUS_COMPLETED, JOB_STATUS_FAILED, JOB_STATUS_CANCELLING}),
        JOB_STATUS_CANCELLING: frozenset({JOB_STATUS_CANCELLED}),
        JOB_STATUS_COMPLETED: frozenset(),
        JOB_STATUS_FAILED: frozenset(),
        JOB_STATUS_CANCELLED: frozenset(),
    }
)

TERMINAL: Final = frozenset(status for status, following in TRANSITIONS.items() if not following)
"""Statuses that never change again."""


class DatacenterJobLifecycle:
    """Status of one job and why it has it."""

    __slots__ = ("_change", "_job_id")

    def __init__(self, job_id: str, accepted_at_seconds: float) -> None:
        self._job_id = job_id
        self._change = StatusChange(JOB_STATUS_SUBMITTED, accepted_at_seconds, "")

    @property
    def status(self) -> JobStatus.ValueType:
        """The status now."""
        return self._change.status

    @property
    def is_terminal(self) -> bool:
        """Whether it never changes again."""
        return self.status in TERMINAL

    def move(self, status: JobStatus.ValueType, at_seconds: float, reason: str = "") -> None:
        """Change the status; raises `IllegalTransitionError`."""
        if status not in TRANSITIONS[self.status]:
            raise IllegalTransitionError(f"job {self._job_id}", JobStatus.Name(self.status), JobStatus.Name(status))
        self._change = StatusChange(status, at_seconds, reason)
