"""Life of a job at its owner gate.

Laws: a status changes only along the table; a terminal status never changes; after CANCELLING a job never completes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from hyperscale.v1 import job_pb2

JobStatusValue: TypeAlias = job_pb2.JobStatus.ValueType

_SUBMITTED = job_pb2.JOB_STATUS_SUBMITTED
_DISPATCHING = job_pb2.JOB_STATUS_DISPATCHING
_QUEUED = job_pb2.JOB_STATUS_QUEUED
_RUNNING = job_pb2.JOB_STATUS_RUNNING
_COMPLETING = job_pb2.JOB_STATUS_COMPLETING
_COMPLETED = job_pb2.JOB_STATUS_COMPLETED
_FAILED = job_pb2.JOB_STATUS_FAILED
_TIMEOUT = job_pb2.JOB_STATUS_TIMEOUT
_CANCELLING = job_pb2.JOB_STATUS_CANCELLING
_CANCELLED = job_pb2.JOB_STATUS_CANCELLED

_ALWAYS = frozenset({_FAILED, _TIMEOUT, _CANCELLING})

TRANSITIONS: Mapping[JobStatusValue, frozenset[JobStatusValue]] = MappingProxyType(
    {
        _SUBMITTED: _ALWAYS | {_DISPATCHING},
        _DISPATCHING: _ALWAYS | {_QUEUED, _RUNNING, _COMPLETING},
        _QUEUED: _ALWAYS | {_RUNNING, _COMPLETING},
        _RUNNING: _ALWAYS | {_COMPLETING},
        _COMPLETING: _ALWAYS | {_COMPLETED, _CANCELLED},
        _CANCELLING: frozenset({_CANCELLED, _FAILED}),
        _COMPLETED: frozenset(),
        _FAILED: frozenset(),
        _TIMEOUT: frozenset(),
        _CANCELLED: frozenset(),
    }
)
"""Every allowed change. COMPLETING → CANCELLED: a datacenter stopped the job without being asked by this gate."""

TERMINAL = frozenset(status for status, following in TRANSITIONS.items() if not following)
"""Statuses that never change."""

_OUTCOME_ORDER = (_FAILED, _CANCELLED, _TIMEOUT, _COMPLETED)


class IllegalJobStatusChangeError(Exception):
    """A change that the table does not allow; a defect of the gate, never of its input."""

    def __init__(self, current: JobStatusValue, wanted: JobStatusValue) -> None:
        names = job_pb2.JobStatus.Name(current), job_pb2.JobStatus.Name(wanted)
        super().__init__(f"{names[0]} cannot become {names[1]}")


class JobLifecycle:
    """The status of one job."""

    def __init__(self, status: JobStatusValue = _SUBMITTED) -> None:
        self._status = status

    @property
    def status(self) -> JobStatusValue:
        """Current status."""
        return self._status

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended."""
        return self._status in TERMINAL

    @property
    def is_cancelling(self) -> bool:
        """Whether a cancellation is durable."""
        return self._status == _CANCELLING

    def allows(self, status: JobStatusValue) -> bool:
        """Whether the status may come next."""
        return status in TRANSITIONS[self._status]

    def advance(self, status: JobStatusValue) -> None:
        """Change the status; raises `IllegalJobStatusChangeError`."""
        if not self.allows(status):
            raise IllegalJobStatusChangeError(self._status, status)
        self._status = status


def job_outcome(statuses: Iterable[JobStatusValue]) -> JobStatusValue:
    """The first of FAILED, CANCELLED, TIMEOUT, COMPLETED among terminal statuses; FAILED when there are none."""
    present = set(statuses)
    return next((status for status in _OUTCOME_ORDER if status in present), _FAILED)
