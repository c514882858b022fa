"""Runs each job from its acceptance to its end: the one place that decides what happens to it next.

Laws: a job is closed exactly when every datacenter has ended its part; a failed datacenter stops the others; a job that is
no longer owned is neither steered nor closed.
"""

from __future__ import annotations

import asyncio

from hyperscale.gate.cancellation import CancelCourier, notices
from hyperscale.gate.closing import JobCloser
from hyperscale.gate.dispatch import Dispatcher
from hyperscale.gate.job_lifecycle import TERMINAL, JobStatusValue
from hyperscale.gate.job_run import JobRun
from hyperscale.gate.models.orders import CancelNotice, StopCause, StopOrder
from hyperscale.gate.state import GateState
from hyperscale.gate.store import JobStore
from hyperscale.gate.timeouts import JobDeadlines
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.coordination import CoordinationUnavailableError, LeaseLostError
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
        store: JobStore,
        supervisor: Supervisor,
        clock: Clock,
    ) -> None:
        self._dispatcher = dispatcher
        self._deadlines = deadlines
        self._courier = courier
        self._closer = closer
        self._store = store
        self._supervisor = supervisor
        self._clock = clock

    async def steer(self, run: JobRun) -> None:
        """Take a job to its end; raises `LeaseLostError`."""
        run.advance(job_pb2.JOB_STATUS_DISPATCHING)
        dispatches = self._dispatcher.start(run)
        try:
            await self._until_done(run, dispatches)
        finally:
            _cancel(dispatches)
        if not run.is_abandoned:
            await self._closer.close(run)

    async def fail(self, run: JobRun, reason: str) -> None:
        """End a job that cannot be steered any further; raises `LeaseLostError` and `CoordinationUnavailableError`."""
        record = run.record
        await self._closer.close_unjudged(record, run.lease, reason)
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
                shown = await self._show_status(run)
            if run.is_done:
                return
            if run.stop is not None and not is_stopping:
                is_stopping = True
                _cancel(dispatches)
                self._stop_parts(run, run.stop)
            await run.wait_changed(_REVIEW_SECONDS)

    async def _show_status(self, run: JobRun) -> JobStatusValue:
        """Bring lists of jobs up to date; returns the status they show."""
        async with run.durable:
            record = run.record
            record.status = run.status
            try:
                await self._store.note_status(record, run.lease)
            except CoordinationUnavailableError as error:
                self._supervisor.report(error, "job-status", job_id=run.job_id)
            return record.status

    def _review(self, run: JobRun, notified: set[str]) -> None:
        running = [name for name, part in run.parts.items() if part.status == job_pb2.JOB_STATUS_RUNNING]
        run.close_windows(self._clock.wall(), running)
        self._deadlines.enforce(run)
        run.enforce_thresholds()
        self._notify_given_up(run, notified)
        failed = [part for part in run.parts.values() if part.status == job_pb2.JOB_STATUS_FAILED]
        if failed and run.stop is None:
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
        status = await self._courier.tell(_notice(run, datacenter, order.reason))
        # A part that was taken over reports its end itself, with its totals.
        if status in TERMINAL and not run.parts[datacenter].is_accepted:
            run.end_unstarted(datacenter, order.reason)


class JobConductor:
    """Keeps one task per unfinished job."""

    def __init__(self, steering: JobSteering, state: GateState, supervisor: Supervisor) -> None:
        self._steering = steering
        self._state = state
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
    return CancelNotice(run.job_id, datacenter, run.lease.token, reason)


def _raise_failure(tasks: list[asyncio.Task[None]]) -> None:
    """Raise what a dispatch did not expect: without it, its part would never end."""
    for task in tasks:
        if task.done() and not task.cancelled():
            task.result()


def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
