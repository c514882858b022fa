"""Handing a part of a job to the leader of a datacenter, and learning from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hyperscale.gate.datacenter_calls import DatacenterCaller, ManagerCalls
from hyperscale.gate.job_run import JobRun
from hyperscale.gate.routing import DatacenterRouting
from hyperscale.gate.stages import TEARDOWN
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.retry import DISPATCH, RetryPolicy, call_with_retry
from hyperscale.v1 import dispatch_pb2
from hyperscale.workload.timestamps import duration

PATIENT: Final = RetryPolicy(
    "job-dispatch",
    attempts=1000,
    base_delay_seconds=0.1,
    max_delay_seconds=1.0,
    retryable=DISPATCH.retryable
    | {
        ErrorReason.DATACENTER_UNAVAILABLE,
        ErrorReason.DEADLINE_EXCEEDED,
        ErrorReason.NOT_LEADER,
        ErrorReason.TOO_MANY_JOBS,
        ErrorReason.LEASE_LOST,
        ErrorReason.COORDINATION_CONFLICT,
    },
)
"""As long as there is time."""

HASTY: Final = replace(
    PATIENT,
    name="job-dispatch-hasty",
    retryable=PATIENT.retryable
    - {
        ErrorReason.DATACENTER_UNAVAILABLE,
        ErrorReason.DEADLINE_EXCEEDED,
        ErrorReason.TOO_MANY_JOBS,
        ErrorReason.DRAINING,
    },
)
"""Until there is no manager left to call, one does not answer in time, or one says that it takes no more jobs."""


class JobHandover:
    """Hands parts of jobs over."""

    def __init__(self, caller: DatacenterCaller, calls: ManagerCalls, routing: DatacenterRouting, clock: Clock) -> None:
        self._caller = caller
        self._calls = calls
        self._routing = routing
        self._clock = clock

    async def to(
        self,
        datacenter: str,
        run: JobRun,
        dispatch: dispatch_pb2.JobDispatch,
        policy: RetryPolicy,
        deadline_seconds: float,
    ) -> None:
        """Have a datacenter take its part over; raises the last error."""

        async def hand_over(address: str) -> str:
            if run.plan.stage != TEARDOWN:
                dispatch.time_left.CopyFrom(duration(max(0.0, run.timeout_seconds - run.age_seconds)))
            await self._calls.submit_job(address, dispatch)
            return address

        async def attempt(_: float) -> str:
            return await self._caller.ask(datacenter, hand_over, run.manager_of(datacenter))

        began_at = self._clock.monotonic()
        manager = await call_with_retry(policy, attempt, deadline_seconds)
        self._routing.taken_over(dispatch.job_id, datacenter, self._clock.monotonic() - began_at)
        run.accepted(datacenter, manager)


def is_passing(error: HyperscaleError) -> bool:
    """Whether a failure is the datacenter's, and may pass; any other one would be the same elsewhere."""
    return error.reason in PATIENT.retryable


def is_fault(error: HyperscaleError) -> bool:
    """Whether a failure speaks against the datacenter; that it has as many jobs as it may does not."""
    return is_passing(error) and error.reason is not ErrorReason.TOO_MANY_JOBS
