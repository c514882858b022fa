"""Runs each job from its acceptance to its end: the one place that decides what happens to it next.

Laws: a job is closed exactly when every datacenter has ended its part; a failed datacenter stops the others; a job that is
no longer owned is neither steered nor closed.
"""

from __future__ import annotations

import asyncio

from hyperscale.gate.cancellation import CancelCourier, notices
from hyperscale.gate.closing import JobCloser
from hyperscale.gate.dispatch import Dispatcher
from hyperscale.gate.job_lifecycle import TERMINAL
from hyperscale.gate.job_run import JobRun
from hyperscale.gate.models.orders import CancelNotice, StopCause, StopOrder
from hyperscale.gate.routing import DatacenterRouting
from hyperscale.gate.stage_entry import JobCourse
from hyperscale.gate.stages import PLANS, TEARDOWN, StagePlan, last_stage, owes_teardown
from hyperscale.gate.state import GateState
from hyperscale.gate.timeouts import JobDeadlines
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.coordination import LeaseLostError
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1 import job_pb2

_REVIEW_SECONDS = 0.5


class JobSteering:
    """Dispatches, watches, stops and closes a job."""

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        deadlines: JobDeadlines,
        courier: CancelCourier,
        closer: JobCloser,
        course: JobCourse,
        supervisor: Supervisor,
        clock: Clock,
    ) -> None:
        self._dispatcher = dispatcher
        self._deadlines = deadlines
        self._courier = courier
        self._closer = closer
        self._course = course
        self._supervisor = supervisor
        self._clock = clock

    async def steer(self, run: JobRun) -> None:
        """Take a job to its end, stage by stage; raises `LeaseLostError`."""
        run.advance(job_pb2.JOB_STATUS_DISPATCHING)
        if run.is_resumed:
            await self._until_still(run)
        for stage in PLANS:
            plan = await self._course.enter(run, stage)
            if plan is not None:
                await self._run_stage(run, plan)
            if run.is_abandoned:
                return
        await self._closer.close(run)

    async def _run_stage(self, run: JobRun, plan: StagePlan) -> None:
        dispatches = self._dispatcher.start(run, plan)
        try:
            await self._until_done(run, dispatches)
        finally:
            _cancel(dispatches)
        _stop_unless_completed(run, self._clock.monotonic())

    async def _until_still(self, run: JobRun) -> None:
        """See to it that of what an earlier owner had begun nothing goes on; teardowns may.

        Datacenters that others have taken the places of are told, and not waited for: the job has nothing to do there.
        """
        record = run.record
        reason = run.stop.reason if run.stop is not None else ""
        begun = [notice for notice in notices(record, run.lease, reason) if last_stage(record) != TEARDOWN]
        for notice in begun:
            _ = self._courier.tell(notice)
        present = [notice for notice in begun if notice.datacenter in record.datacenters]
        try:
            async with asyncio.timeout(self._deadlines.stop_seconds(run)):
                await asyncio.gather(*map(self._until_stopped, present))
        except TimeoutError as error:
            self._supervisor.report(error, "job-resumption", job_id=run.job_id)

    async def _until_stopped(self, notice: CancelNotice) -> None:
        while True:
            if await self._courier.tell(notice) in TERMINAL:
                return
            await asyncio.sleep(_REVIEW_SECONDS)

    async def fail(self, run: JobRun, reason: str) -> None:
        """End a job that cannot be steered any further; raises `LeaseLostError` and `CoordinationUnavailableError`."""
        record = run.record
        skipped = "; its teardown was not run" if owes_teardown(record) and last_stage(record) != TEARDOWN else ""
        await self._closer.close_unjudged(record, run.lease, reason + skipped)
        for notice in notices(record, run.lease, reason):
            _ = self._courier.tell(notice)

    async def _until_done(self, run: JobRun, dispatches: list[asyncio.Task[None]]) -> None:
        is_stopping = False
        notified: set[str] = set()
        shown = job_pb2.JOB_STATUS_SUBMITTED
        while not run.is_abandoned:
            _raise_failure(dispatches)
            self._review(run, notified)
            if shown != run.status:
                shown = await self._course.show_status(run)
            if run.is_done:
                return
            if run.stage_stop is not None and not is_stopping:
                is_stopping = True
                _cancel(dispatches)
                self._stop_parts(run, run.stage_stop)
            await run.wait_changed(_REVIEW_SECONDS)

    def _review(self, run: JobRun, notified: set[str]) -> None:
        running = [name for name, part in run.parts.items() if part.status == job_pb2.JOB_STATUS_RUNNING]
        run.close_windows(self._clock.wall(), running)
        self._deadlines.enforce(run)
        run.enforce_thresholds()
        self._notify_given_up(run, notified)
        failed = [part for part in run.parts.values() if part.status == job_pb2.JOB_STATUS_FAILED]
        if failed and run.stop is None and run.plan.stage != TEARDOWN:
            reason = f"datacenter {failed[0].datacenter} failed: {failed[0].reason}"
            run.order_stop(StopOrder(StopCause.DATACENTER_FAILED, reason, self._clock.monotonic()))

    def _notify_given_up(self, run: JobRun, notified: set[str]) -> None:
        """Tell datacenters that may run the job all the same: an answer was lost, or they are only cut off."""
        given_up = {name for name, part in run.parts.items() if part.is_given_up} - notified
        for name in given_up:
            notified.add(name)
            _ = self._courier.tell(_notice(run, name, run.parts[name].reason))

    def _stop_parts(self, run: JobRun, order: StopOrder) -> None:
        for name, part in run.parts.items():
            if not part.is_done:
                _ = self._supervisor.start(self._stop_part(run, name, order), name="part-stop")

    async def _stop_part(self, run: JobRun, datacenter: str, order: StopOrder) -> None:
        plan = run.plan
        status = await self._courier.tell(_notice(run, datacenter, order.reason))
        # A part that was taken over reports its end itself, with its totals.
        if status in TERMINAL and run.plan is plan and not run.parts[datacenter].is_accepted:
            run.end_unstarted(datacenter, order.reason)


class JobConductor:
    """Keeps one task per unfinished job."""

    def __init__(
        self, steering: JobSteering, state: GateState, routing: DatacenterRouting, supervisor: Supervisor
    ) -> None:
        self._steering = steering
        self._state = state
        self._routing = routing
        self._supervisor = supervisor

    def conduct(self, run: JobRun) -> None:
        """Take charge of a job until it has ended, in the background."""
        self._state.enter(run)
        _ = self._supervisor.start(self._conduct(run), name="job")

    async def _conduct(self, run: JobRun) -> None:
        try:
            await self._steering.steer(run)
        except LeaseLostError as error:
            self._give_up(run, error)
        except Exception as error:
            self._give_up(run, error)
            await self._fail(run, error)
        finally:
            self._state.leave(run.job_id)
            self._routing.forget(run.job_id)

    async def _fail(self, run: JobRun, error: Exception) -> None:
        try:
            await self._steering.fail(run, f"the gate could not go on with the job: {type(error).__name__}")
        except HyperscaleError as second:
            # The job is found and ended by the search for orphans once its lease has run out.
            self._supervisor.report(second, "job", job_id=run.job_id)

    def _give_up(self, run: JobRun, error: Exception) -> None:
        self._supervisor.report(error, "job", job_id=run.job_id)
        run.abandon(HyperscaleError(ErrorReason.NOT_READY, "this gate no longer runs the job; ask again"))


def _notice(run: JobRun, datacenter: str, reason: str) -> CancelNotice:
    return CancelNotice(run.plan.dispatch_id, datacenter, run.lease.token, reason, run.manager_of(datacenter))


def _stop_unless_completed(run: JobRun, now_seconds: float) -> None:
    """Nothing comes after a stage that has not come to its end, but teardown."""
    if any(part.status != job_pb2.JOB_STATUS_COMPLETED for part in run.parts.values()) and run.plan.stage != TEARDOWN:
        run.order_stop(StopOrder(StopCause.DATACENTER_FAILED, "a datacenter has not completed its part", now_seconds))


def _raise_failure(tasks: list[asyncio.Task[None]]) -> None:
    """Raise what a dispatch did not expect: without it, its part would never end."""
    for task in tasks:
        if task.done() and not task.cancelled():
            task.result()


def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
