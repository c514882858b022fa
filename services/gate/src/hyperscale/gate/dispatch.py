"""Handing a job to its datacenters, all at the same time."""

from __future__ import annotations

import asyncio
from typing import Final

from hyperscale.gate.fallback import FallbackChain
from hyperscale.gate.handover import HASTY, PATIENT, JobHandover, is_fault, is_passing
from hyperscale.gate.job_run import JobRun
from hyperscale.gate.routing import DatacenterRouting
from hyperscale.gate.stages import StagePlan
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.errors import HyperscaleError
from hyperscale.runtime.retry import RetryPolicy
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1 import dispatch_pb2, job_pb2
from hyperscale.workload.timestamps import timestamp

START_LEAD_SECONDS: Final = 0.15
"""From handing a job out to its first load: enough for every engine to have its part by then, little enough to feel like now."""


class Dispatcher:
    """Hands jobs to the leaders of their datacenters, and to those of others when they do not take them over.

    Parameters
    ----------
    gate_id
        Where datacenters are to report.
    deadline_seconds
        A datacenter that has not taken a job over by then fails its part, unless another one takes its place.
    """

    def __init__(
        self,
        *,
        handover: JobHandover,
        fallback: FallbackChain,
        routing: DatacenterRouting,
        supervisor: Supervisor,
        clock: Clock,
        gate_id: str,
        deadline_seconds: float,
    ) -> None:
        self._handover = handover
        self._fallback = fallback
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
        place: str | None = datacenter
        while place is not None:
            place = await self._place(run, place, dispatch)

    async def _place(self, run: JobRun, datacenter: str, dispatch: dispatch_pb2.JobDispatch) -> str | None:
        """Returns the datacenter that is to be tried next; None when the part has been taken over, or has ended.

        As long as another one can take its place, a datacenter without a manager to call is not waited for.
        """
        deadline = self._clock.monotonic() + self._deadline_seconds
        failure = await self._try(run, datacenter, dispatch, HASTY, deadline)
        if failure is None:
            return None
        successor = await self._successor(run, datacenter, failure)
        return successor or await self._insist(run, datacenter, dispatch, failure, deadline)

    async def _insist(
        self,
        run: JobRun,
        datacenter: str,
        dispatch: dispatch_pb2.JobDispatch,
        failure: HyperscaleError,
        deadline: float,
    ) -> str | None:
        """No other one can take the part now: the datacenter has the rest of its time, and then fails it."""
        if is_passing(failure) and self._clock.monotonic() < deadline:
            last = await self._try(run, datacenter, dispatch, PATIENT, deadline)
            if last is None:
                return None
            failure = last
            successor = await self._successor(run, datacenter, failure)
            if successor is not None:
                return successor
        self._give_up(run, datacenter, failure)
        return None

    async def _successor(self, run: JobRun, datacenter: str, failure: HyperscaleError) -> str | None:
        if not is_passing(failure):
            return None
        return await self._fallback.move(run, datacenter, failure)

    async def _try(
        self, run: JobRun, datacenter: str, dispatch: dispatch_pb2.JobDispatch, policy: RetryPolicy, deadline: float
    ) -> HyperscaleError | None:
        """None when the datacenter has the job, by its answer or by its reports."""
        try:
            await self._handover.to(datacenter, run, dispatch, policy, deadline - self._clock.monotonic())
        except HyperscaleError as error:
            self._supervisor.report(error, "job-dispatch", job_id=run.job_id, datacenter=datacenter)
            return None if run.parts[datacenter].is_accepted else error
        return None

    def _give_up(self, run: JobRun, datacenter: str, failure: HyperscaleError) -> None:
        if is_fault(failure):
            self._routing.failed(datacenter)
        reason = self._fallback.last_word(run, _refusal(failure, self._deadline_seconds))
        run.give_up(datacenter, job_pb2.JOB_STATUS_FAILED, reason)


def _refusal(error: HyperscaleError, deadline_seconds: float) -> str:
    if is_passing(error):
        return f"the datacenter has not taken the job over within {deadline_seconds:g} s: {error.message}"
    faults = "; ".join(f"{violation.path}: {violation.message}" for violation in error.violations)
    return f"the datacenter refused the job: {error.message}{f' ({faults})' if faults else ''}"
