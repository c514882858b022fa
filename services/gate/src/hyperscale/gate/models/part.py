"""A datacenter's part of an unfinished job."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from hyperscale.gate.job_lifecycle import JobStatusValue
from hyperscale.v1 import job_pb2

_MOST_REASONS: Final = 3


@dataclass(slots=True)
class DatacenterPart:
    """How the job stands in one datacenter, as the gate knows it.

    Attributes
    ----------
    is_accepted
        The datacenter has taken the job over: its dispatch was acknowledged, or it has reported.
    is_given_up
        The gate ended the part on its own account: should the datacenter run it all the same, it must be told to stop.
    extended_seconds
        By how much the job's timeout is later there.
    result
        Its final result; nothing about the part changes once it is there.
    """

    datacenter: str
    status: JobStatusValue = job_pb2.JOB_STATUS_DISPATCHING
    reason: str = ""
    is_accepted: bool = False
    is_given_up: bool = False
    workflows: tuple[job_pb2.WorkflowStatusInfo, ...] = ()
    started_at_seconds: float | None = None
    extended_seconds: float = 0.0
    result: job_pb2.JobFinalResult | None = None

    @property
    def is_done(self) -> bool:
        """Whether the job has ended there."""
        return self.result is not None

    @property
    def remark(self) -> str:
        """What there is to say of a part with which all is well; empty when there is nothing."""
        extended = f"its time was extended by {self.extended_seconds:g} s" if self.extended_seconds else ""
        return waiting_reason(self.workflows) or extended


def waiting_reason(workflows: Iterable[job_pb2.WorkflowStatusInfo]) -> str:
    """What the workflows that could be under way wait for, for people; empty when none waits."""
    every = tuple(workflows)
    waiting = [entry for entry in every if entry.status == job_pb2.WORKFLOW_STATUS_PENDING and entry.reason]
    if len(every) == len(waiting) == 1:
        return waiting[0].reason
    shown = [f"workflow {entry.workflow_name}: {entry.reason}" for entry in waiting[:_MOST_REASONS]]
    more = len(waiting) - len(shown)
    return "; ".join([*shown, *([f"{more} more workflows wait"] if more else [])])
