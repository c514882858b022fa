"""Life of a job at its owner gate.

Laws: a status changes only along the table; a terminal status never changes; after CANCELLING a job never completes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from hyperscale.runtime.transitions import TransitionTable
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

TRANSITIONS: TransitionTable[JobStatusValue] = TransitionTable(
    {
        _SUBMITTED: _ALWAYS | {_DISPATCHING},
        _DISPATCHING: _ALWAYS | {_QUEUED, _RUNNING, _COMPLETING},
        _QUEUED: _ALWAYS | {_RUNNING, _COMPLETING},
        _RUNNING: _ALWAYS | {_COMPLETING},
        _COMPLETING: _ALWAYS | {_COMPLETED, _CANCELLED},
        _CANCELLING: {_CANCELLED, _FAILED},
        _COMPLETED: (),
        _FAILED: (),
        _TIMEOUT: (),
        _CANCELLED: (),
    },
    job_pb2.JobStatus.Name,
)
"""Every allowed change. COMPLETING → CANCELLED: a datacenter stopped the job without being asked by this gate."""

TERMINAL = TRANSITIONS.terminal
"""Statuses that never change."""

_OUTCOME_ORDER = (_FAILED, _CANCELLED, _TIMEOUT, _COMPLETED)


def job_outcome(statuses: Iterable[JobStatusValue]) -> JobStatusValue:
    """The first of FAILED, CANCELLED, TIMEOUT, COMPLETED among terminal statuses; FAILED when there are none."""
    present = set(statuses)
    return next((status for status in _OUTCOME_ORDER if status in present), _FAILED)
