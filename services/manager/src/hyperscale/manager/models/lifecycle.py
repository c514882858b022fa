"""What is kept of a workflow's life."""

from __future__ import annotations

from dataclasses import dataclass

from hyperscale.v1.job_pb2 import WorkflowStatus


@dataclass(frozen=True, slots=True)
class StatusChange:
    """One accepted change.

    Attributes
    ----------
    at_seconds
        Seconds since the Unix epoch.
    reason
        For people; may be empty.
    """

    status: WorkflowStatus.ValueType
    at_seconds: float
    reason: str
