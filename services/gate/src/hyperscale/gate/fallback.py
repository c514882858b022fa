"""What becomes of a datacenter's part of a job when it does not take it over: the next one of the router gets the whole of it.

Laws: only what the gate has chosen is moved, and only before anything of the job has been done there; a move is durable before
the next datacenter hears of the job; the one before is told to cancel, and as long as it answers that it has the job, the next
one waits.
"""

from __future__ import annotations

import asyncio
from typing import Final

from hyperscale.gate.cancellation import CancelCourier
from hyperscale.gate.job_lifecycle import TERMINAL
from hyperscale.gate.job_run import JobRun
from hyperscale.gate.models.orders import CancelNotice
from hyperscale.gate.routing import DatacenterRouting
from hyperscale.gate.store import JobStore
from hyperscale.routing.explanation import why
from hyperscale.routing.models.decisions import RoutingDecision
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.coordination import CoordinationUnavailableError
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1 import record_pb2
from hyperscale.workload.metric_selector import parse_selector
from hyperscale.workload.timestamps import timestamp

_PAUSE_SECONDS: Final = 0.5


class FallbackChain:
    """Moves parts of jobs from datacenters that do not take them over to others.

    Parameters
    ----------
    stop_grace_seconds
        How long a datacenter that has the job all the same may take to stop it before another one begins.
    """

    def __init__(
        self,
        *,
        routing: DatacenterRouting,
        store: JobStore,
        courier: CancelCourier,
        supervisor: Supervisor,
        clock: Clock,
        stop_grace_seconds: float,
    ) -> None:
        self._routing = routing
        self._store = store
        self._courier = courier
        self._supervisor = supervisor
        self._clock = clock
        self._stop_grace_seconds = stop_grace_seconds

    async def move(self, run: JobRun, datacenter: str, reason: str) -> str | None:
        """Give a datacenter's part to the next one, and return its name; None when it stays where it is.

        Raises `LeaseLostError`.
        """
        notice = CancelNotice(run.plan.dispatch_id, datacenter, run.lease.token, reason)
        while _may_move(run, datacenter):
            try:
                successor = await self._move(run, datacenter, reason)
            except CoordinationUnavailableError as error:
                self._supervisor.report(error, "job-fallback", job_id=run.job_id)
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            if successor is not None:
                await self._until_let_go(notice)
            return successor
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
            successor = _next(self._decision(record, datacenter), record)
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
            run.move(record, datacenter, successor)
            self._routing.replaced(run.job_id, datacenter, successor, reason)
            return successor

    def _decision(self, record: record_pb2.JobRecord, *failed: str) -> RoutingDecision:
        before = [move.from_datacenter for move in record.routing.fallbacks]
        return self._routing.decide_again(record.job_id, record.submission, {*before, *failed})

    async def _until_let_go(self, notice: CancelNotice) -> None:
        """Wait while a datacenter says that it has the job; one that cannot be asked is told later."""
        is_stopped = False
        try:
            async with asyncio.timeout(self._stop_grace_seconds):
                is_stopped = await self._is_stopped(notice)
        except TimeoutError as error:
            self._supervisor.report(error, "job-fallback", job_id=notice.job_id, datacenter=notice.datacenter)
        finally:
            if not is_stopped:
                _ = self._courier.tell(notice)

    async def _is_stopped(self, notice: CancelNotice) -> bool:
        """Waits until the job has ended there; False when the datacenter does not answer."""
        while True:
            status = await self._courier.tell_once(notice)
            if status is None or status in TERMINAL:
                return status is not None
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
