"""Handing a job to its datacenters, all at the same time."""

from __future__ import annotations

import asyncio
from typing import Final

from hyperscale.gate.datacenter_calls import DatacenterCaller, ManagerCalls
from hyperscale.gate.job_run import JobRun
from hyperscale.gate.routing import DatacenterRouting
from hyperscale.gate.stages import StagePlan
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.retry import DISPATCH, RetryPolicy, call_with_retry
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1 import dispatch_pb2, job_pb2
from hyperscale.workload.timestamps import timestamp

START_LEAD_SECONDS: Final = 0.15
"""From handing a job out to its first load: enough for every engine to have its part by then, little enough to feel like now."""

_POLICY = RetryPolicy(
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


class Dispatcher:
    """Hands jobs to the leaders of their datacenters.

    Parameters
    ----------
    gate_id
        Where datacenters are to report.
    deadline_seconds
        A datacenter that has not taken a job over by then fails its part.
    """

    def __init__(
        self,
        *,
        caller: DatacenterCaller,
        calls: ManagerCalls,
        routing: DatacenterRouting,
        supervisor: Supervisor,
        clock: Clock,
        gate_id: str,
        deadline_seconds: float,
    ) -> None:
        self._caller = caller
        self._calls = calls
        self._routing = routing
        self._supervisor = supervisor
        self._clock = clock
        self._gate_id = gate_id
        self._deadline_seconds = deadline_seconds

    def start(self, run: JobRun, plan: StagePlan) -> list[asyncio.Task[None]]:
        """Hand each datacenter what it is to run in a stage; one task per datacenter, which may be cancelled."""
        start_at = timestamp(self._clock.wall() + START_LEAD_SECONDS)
        return [
            self._supervisor.start(
                self._dispatch(
                    run,
                    datacenter,
                    dispatch_pb2.JobDispatch(
                        job_id=plan.dispatch_id,
                        fence_token=run.lease.token,
                        gate_id=self._gate_id,
                        submission=share,
                        start_at=start_at,
                        context=plan.contexts.get(datacenter, ()),
                    ),
                ),
                name="job-dispatch",
            )
            for datacenter, share in plan.shares.items()
        ]

    async def _dispatch(self, run: JobRun, datacenter: str, dispatch: dispatch_pb2.JobDispatch) -> None:
        async def hand_over(address: str) -> str:
            await self._calls.submit_job(address, dispatch)
            return address

        async def attempt(_: float) -> str:
            return await self._caller.ask(datacenter, hand_over, run.manager_of(datacenter))

        began_at = self._clock.monotonic()
        try:
            manager = await call_with_retry(_POLICY, attempt, self._deadline_seconds)
        except HyperscaleError as error:
            self._supervisor.report(error, "job-dispatch", job_id=run.job_id, datacenter=datacenter)
            if error.reason in _POLICY.retryable:
                self._routing.failed(datacenter)
            run.give_up(datacenter, job_pb2.JOB_STATUS_FAILED, _refusal(error, self._deadline_seconds))
        else:
            self._routing.taken_over(datacenter, self._clock.monotonic() - began_at)
            run.accepted(datacenter, manager)


def _refusal(error: HyperscaleError, deadline_seconds: float) -> str:
    if error.reason in _POLICY.retryable:
        return f"the datacenter has not taken the job over within {deadline_seconds:g} s: {error.message}"
    faults = "; ".join(f"{violation.path}: {violation.message}" for violation in error.violations)
    return f"the datacenter refused the job: {error.message}{f' ({faults})' if faults else ''}"
