"""What becomes of a datacenter's part of a job when it does not take it over: the next one of the router gets the whole of it.

Laws: only what the gate has chosen is moved, and only before anything of the job has been done there; a move is durable before
the next datacenter hears of the job; the one before is told to cancel, and as long as it answers without saying that the job
has ended there, the next one waits.
"""

from __future__ import annotations

import asyncio
from typing import Final

from hyperscale.gate.cancellation import CancelCourier
from hyperscale.gate.handover import is_fault
from hyperscale.gate.job_lifecycle import TERMINAL
from hyperscale.gate.job_run import JobRun
from hyperscale.gate.models.orders import CancelNotice
from hyperscale.gate.persistence import written
from hyperscale.gate.routing import DatacenterRouting
from hyperscale.gate.store import JobStore
from hyperscale.gate.timeouts import JobDeadlines
from hyperscale.routing.explanation import why
from hyperscale.routing.models.decisions import RoutingDecision
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.coordination import CoordinationUnavailableError
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1 import record_pb2
from hyperscale.workload.metric_selector import parse_selector
from hyperscale.workload.timestamps import timestamp

_PAUSE_SECONDS: Final = 0.5
_SILENCE: Final = frozenset(
    {ErrorReason.PEER_UNREACHABLE, ErrorReason.DEADLINE_EXCEEDED, ErrorReason.DATACENTER_UNAVAILABLE}
)
"""Whoever is asked cannot be asked; any other error is the answer of one that may have the job."""


class FallbackChain:
    """Moves parts of jobs from datacenters that do not take them over to others."""

    def __init__(
        self,
        *,
        routing: DatacenterRouting,
        store: JobStore,
        courier: CancelCourier,
        deadlines: JobDeadlines,
        supervisor: Supervisor,
        clock: Clock,
    ) -> None:
        self._routing = routing
        self._store = store
        self._courier = courier
        self._deadlines = deadlines
        self._supervisor = supervisor
        self._clock = clock

    async def move(self, run: JobRun, datacenter: str, failure: HyperscaleError) -> str | None:
        """Give the part of a datacenter that has failed to take it to the next one, and return its name.

        None when it stays where it is.

        Raises `LeaseLostError`.
        """
        reason = f"it has not taken the job over: {failure.message}"
        notice = CancelNotice(run.plan.dispatch_id, datacenter, run.lease.token, reason)
        is_unsure = False
        while _may_move(run, datacenter):
            try:
                successor = await self._move(run, datacenter, reason)
            except CoordinationUnavailableError as error:
                # It may be written all the same.
                is_unsure = True
                self._supervisor.report(error, "job-fallback", job_id=run.job_id)
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            if successor is not None:
                if is_fault(failure):
                    self._routing.failed(datacenter)
                await self._until_let_go(notice, self._deadlines.stop_seconds(run))
            return successor
        if is_unsure:
            async with run.durable:
                await self._put_back(run)
        return None

    def last_word(self, run: JobRun, reason: str) -> str:
        """Why a part has no datacenter, when this is why the last one has not taken it over."""
        record = run.record
        if not record.submission.datacenters.count:
            return reason
        decision = self._decision(record)
        moves = [f"{move.from_datacenter}: {move.reason}" for move in record.routing.fallbacks]
        tried = {move.from_datacenter for move in record.routing.fallbacks} | set(record.datacenters)
        others = [
            f"{standing.name}: {why(decision, standing)}"
            for standing in decision.standings
            if standing.name not in tried and standing.exclusion is not None
        ]
        return "; ".join([reason, *moves, *others])

    async def _move(self, run: JobRun, datacenter: str, reason: str) -> str | None:
        async with run.durable:
            record = run.record
            decision = self._decision(record, datacenter)
            successor = _next(decision, record)
            if successor is None or not _may_move(run, datacenter):
                return None
            record.datacenters[list(record.datacenters).index(datacenter)] = successor
            record.status = run.status
            record.routing.fallbacks.add(
                from_datacenter=datacenter,
                to_datacenter=successor,
                reason=reason,
                decided_at=timestamp(self._clock.wall()),
            )
            await self._store.update(record, run.lease)
            if not _may_move(run, datacenter):
                await self._put_back(run)
                return None
            run.move(record, datacenter, successor)
            self._routing.replaced(record, decision)
            return successor

    async def _put_back(self, run: JobRun) -> None:
        """The part stays where it is, whatever has been written: the datacenter has spoken meanwhile, or the job is stopped."""

        async def put_back() -> None:
            record = run.record
            record.status = run.status
            await self._store.update(record, run.lease)

        await written(run, put_back, self._supervisor, "job-fallback")

    def _decision(self, record: record_pb2.JobRecord, *failed: str) -> RoutingDecision:
        before = [move.from_datacenter for move in record.routing.fallbacks]
        return self._routing.decide_again(record.job_id, record.submission, {*before, *failed})

    async def _until_let_go(self, notice: CancelNotice, stop_seconds: float) -> None:
        """Wait while a datacenter may have the job, by its answers; one that cannot be asked is told later."""
        is_stopped = False
        try:
            async with asyncio.timeout(stop_seconds):
                is_stopped = await self._is_stopped(notice)
        except TimeoutError as error:
            self._supervisor.report(error, "job-fallback", job_id=notice.job_id, datacenter=notice.datacenter)
        finally:
            if not is_stopped:
                _ = self._courier.tell(notice)

    async def _is_stopped(self, notice: CancelNotice) -> bool:
        """Waits until the job has ended there; False when the datacenter cannot be asked."""
        reported: ErrorReason | None = None
        while True:
            try:
                if await self._courier.ask(notice) in TERMINAL:
                    return True
            except HyperscaleError as error:
                if error.reason is not reported:
                    reported = error.reason
                    self._supervisor.report(error, "job-fallback", job_id=notice.job_id, datacenter=notice.datacenter)
                if error.reason in _SILENCE:
                    return False
            await asyncio.sleep(_PAUSE_SECONDS)


def _may_move(run: JobRun, datacenter: str) -> bool:
    """Whether a part may go elsewhere: nothing of it has been done, and nobody has said where it is to be done."""
    record = run.record
    part = run.parts.get(datacenter)
    is_untouched = part is not None and not part.is_accepted and len(record.stages) <= 1 and not record.stage_results
    is_wanted = not run.is_abandoned and not run.is_resumed and run.stop is None
    is_free = bool(record.submission.datacenters.count) and not _is_named(record, datacenter)
    return is_untouched and is_wanted and is_free


def _is_named(record: record_pb2.JobRecord, datacenter: str) -> bool:
    """Whether a threshold is on a datacenter: without it, that could not be judged."""
    return any(parse_selector(threshold.metric).datacenter == datacenter for threshold in record.submission.thresholds)


def _next(decision: RoutingDecision, record: record_pb2.JobRecord) -> str | None:
    """The best datacenter that the job does not run in yet."""
    ranked = decision.chosen(len(decision.standings))
    return next((name for name in ranked if name not in record.datacenters), None)
