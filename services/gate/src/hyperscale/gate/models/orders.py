"""What the gate asks of itself and of datacenters."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from hyperscale.v1 import job_pb2


class StopCause(Enum):
    """Why a job is stopped before it is done."""

    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    DATACENTER_FAILED = "datacenter failed"
    GATE_LOST = "gate lost"
    """The gate that had begun it."""
    THRESHOLD = "threshold"
    """One with `abort_on_fail` did not hold on what had been measured."""


@dataclass(frozen=True, slots=True)
class StopOrder:
    """A job is to be stopped in every datacenter.

    Attributes
    ----------
    reason
        For people.
    given_at_seconds
        Monotonic clock.
    threshold
        The one that did not hold, when that is the cause.
    """

    cause: StopCause
    reason: str
    given_at_seconds: float
    threshold: job_pb2.Threshold | None = None


@dataclass(frozen=True, slots=True)
class CancelNotice:
    """A datacenter is to be told to stop a job; `manager` is the address of the one that took it over, as far as known."""

    job_id: str
    datacenter: str
    fence_token: int
    reason: str
    manager: str | None = None


@dataclass(frozen=True, slots=True)
class EventBounds:
    """How much of what happened to a job is kept: the newest events, as long as both bounds are kept; always the last."""

    count: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class JobLimits:
    """How much the gate keeps of, and how long it waits for, a running job.

    Attributes
    ----------
    events
        What is kept for watchers.
    window_tolerance_seconds
        How long a second of the run waits for datacenters that have not reported it.
    dispatch_deadline_seconds
        How long a datacenter may take to take the job over, or to confirm that it will not.
    stop_grace_seconds
        How long a stopped datacenter may take, beyond the graceful stop of its workflows, to report its end.
    """

    events: EventBounds
    window_tolerance_seconds: float
    dispatch_deadline_seconds: float
    stop_grace_seconds: float


class CallOrigin(Enum):
    """Who sent a call."""

    CLIENT = "client"
    GATE = "gate"
    """Another gate, which passed it on."""
