"""Stopping jobs: durable here first, then told to every datacenter until it has acknowledged.

Laws: a cancellation is acknowledged to the client only once it is committed; a notice is delivered until acknowledged, until
it is too old to matter, or until a later owner of the job has been there.
"""

from __future__ import annotations

import asyncio

from hyperscale.gate.datacenter_calls import DatacenterCaller, ManagerCalls
from hyperscale.gate.job_lifecycle import JobStatusValue
from hyperscale.gate.job_run import JobRun
from hyperscale.gate.models.orders import CancelNotice, StopCause, StopOrder
from hyperscale.gate.stages import dispatch_id_of, last_stage
from hyperscale.gate.store import JobStore
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.coordination import Lease
from hyperscale.runtime.errors import ErrorReason, FieldViolation, HyperscaleError
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1 import dispatch_pb2, job_pb2, record_pb2

_PAUSE_SECONDS = 0.5
_MAX_PENDING = 10_000
_MAX_REASON_CHARACTERS = 1024


class CancelCourier:
    """Tells datacenters to stop jobs.

    Parameters
    ----------
    delivery_seconds
        How long a datacenter that cannot be reached is tried.
    """

    def __init__(
        self,
        caller: DatacenterCaller,
        calls: ManagerCalls,
        supervisor: Supervisor,
        clock: Clock,
        delivery_seconds: float,
    ) -> None:
        self._caller = caller
        self._calls = calls
        self._supervisor = supervisor
        self._clock = clock
        self._delivery_seconds = delivery_seconds
        self._pending: dict[tuple[str, str], asyncio.Task[JobStatusValue | None]] = {}

    @property
    def pending_count(self) -> int:
        """Notices not acknowledged yet."""
        return len(self._pending)

    def tell(self, notice: CancelNotice) -> asyncio.Task[JobStatusValue | None]:
        """Deliver a notice in the background; one delivery per job and datacenter at a time.

        The task's result is the job's status there after the request; None when the notice was given up.
        """
        key = (notice.job_id, notice.datacenter)
        running = self._pending.get(key)
        if running is not None:
            return running
        if len(self._pending) >= _MAX_PENDING:
            # The datacenter is told again when it reports the job.
            return self._supervisor.start(self.tell_once(notice), name="cancel-delivery")
        task = self._supervisor.start(self._deliver(notice), name="cancel-delivery")
        self._pending[key] = task
        task.add_done_callback(lambda _: self._pending.pop(key, None))
        return task

    async def tell_once(self, notice: CancelNotice) -> JobStatusValue | None:
        """Try once; None when the datacenter did not acknowledge."""
        try:
            return await self.ask(notice)
        except HyperscaleError as error:
            self._report(error, notice)
            return None

    async def ask(self, notice: CancelNotice) -> JobStatusValue:
        """Try once; returns the job's status there after the request, raises what the datacenter answers instead."""
        request = dispatch_pb2.JobCancelRequest(
            job_id=notice.job_id, reason=notice.reason, fence_token=notice.fence_token
        )

        async def cancel(address: str) -> dispatch_pb2.JobCancelResponse:
            return await self._calls.cancel_job(address, request)

        return (await self._caller.ask(notice.datacenter, cancel, notice.manager)).status

    async def _deliver(self, notice: CancelNotice) -> JobStatusValue | None:
        deadline = self._clock.monotonic() + self._delivery_seconds
        reported: ErrorReason | None = None
        while self._clock.monotonic() < deadline:
            try:
                return await self.ask(notice)
            except HyperscaleError as error:
                # An absent datacenter is tried often; only news about why is worth a line.
                if error.reason is not reported:
                    reported = error.reason
                    self._report(error, notice)
                if error.reason is ErrorReason.STALE_FENCE:
                    # A later owner has spoken there: what becomes of the job is its business.
                    return None
            await asyncio.sleep(_PAUSE_SECONDS)
        return None

    def _report(self, error: HyperscaleError, notice: CancelNotice) -> None:
        self._supervisor.report(error, "cancel-delivery", job_id=notice.job_id, datacenter=notice.datacenter)


class JobCanceller:
    """Makes cancellations durable."""

    def __init__(self, store: JobStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def cancel(self, run: JobRun, reason: str) -> JobStatusValue:
        """Commit that a job is to end, and order its stop; returns its status: CANCELLING, or a terminal one.

        Raises NOT_READY when this gate has just lost the job, LEASE_LOST when it notices that now.
        """
        check_reason(reason)
        async with run.durable:
            if run.is_terminal or run.is_cancelling:
                return run.status
            if run.is_abandoned:
                raise HyperscaleError(ErrorReason.NOT_READY)
            record = run.record
            record.status = job_pb2.JOB_STATUS_CANCELLING
            record.cancel_reason = reason or "cancelled by a client"
            await self._store.update(record, run.lease)
            run.committed(record)
            run.order_stop(StopOrder(StopCause.CANCELLED, record.cancel_reason, self._clock.monotonic()))
            return run.status


def notices(record: record_pb2.JobRecord, lease: Lease, reason: str) -> list[CancelNotice]:
    """What each datacenter of a job is told when its gate ends it: of the stage that was begun last.

    Those that others have taken the places of are told too: they may have the job all the same.
    """
    dispatch_id = dispatch_id_of(record.job_id, last_stage(record))
    names = dict.fromkeys([*record.datacenters, *(move.from_datacenter for move in record.routing.fallbacks)])
    return [CancelNotice(dispatch_id, name, lease.token, reason) for name in names]


def check_reason(reason: str) -> None:
    """Refuse a reason that nobody would read; raises INVALID_ARGUMENT."""
    if len(reason) > _MAX_REASON_CHARACTERS:
        fault = FieldViolation("reason", f"must have at most {_MAX_REASON_CHARACTERS} characters, not {len(reason)}")
        raise HyperscaleError(ErrorReason.INVALID_ARGUMENT, violations=[fault])
