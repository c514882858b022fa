"""Questions about single jobs, answered from wherever the answer is: a job owned here, the store, or the owner gate.

Laws: ended jobs are answered from the store by every gate; a forwarded call is never forwarded again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from hyperscale.gate.cancellation import JobCanceller
from hyperscale.gate.events import stored_events
from hyperscale.gate.forwarding import OwnerGates, not_owner
from hyperscale.gate.job_lifecycle import TERMINAL
from hyperscale.gate.live_view import stored_job_status
from hyperscale.gate.models.orders import CallOrigin
from hyperscale.gate.state import GateState
from hyperscale.gate.store import JobStore
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.v1 import dispatch_pb2, gate_service_pb2, job_pb2, record_pb2


class JobDesk:
    """Answers for one gate.

    Parameters
    ----------
    gate_id
        Node id of the gate.
    """

    def __init__(
        self, gate_id: str, state: GateState, store: JobStore, owners: OwnerGates, canceller: JobCanceller
    ) -> None:
        self._gate_id = gate_id
        self._state = state
        self._store = store
        self._owners = owners
        self._canceller = canceller

    async def get(self, request: gate_service_pb2.GetJobRequest, origin: CallOrigin) -> job_pb2.GlobalJobStatus:
        """How a job stands; raises JOB_NOT_FOUND."""
        run = self._state.find(request.job_id)
        if run is not None:
            return run.snapshot()
        record = await self.record(request.job_id)
        if record.status in TERMINAL or record.gate_id == self._gate_id:
            return stored_job_status(record)
        _check_first_hop(record, origin)
        try:
            return await self._owners.get_job(record, request)
        except HyperscaleError:
            # It may have ended meanwhile; otherwise the owner's answer stands.
            record = await self.record(request.job_id)
            if record.status not in TERMINAL:
                raise
            return stored_job_status(record)

    async def cancel(
        self, request: dispatch_pb2.JobCancelRequest, origin: CallOrigin
    ) -> dispatch_pb2.JobCancelResponse:
        """Have a job cancelled, durably; raises JOB_NOT_FOUND."""
        run = self._state.find(request.job_id)
        if run is not None:
            status = await self._canceller.cancel(run, request.reason)
            return dispatch_pb2.JobCancelResponse(job_id=request.job_id, status=status)
        record = await self.record(request.job_id)
        if record.status in TERMINAL:
            return dispatch_pb2.JobCancelResponse(job_id=request.job_id, status=record.status)
        self._check_elsewhere(record, origin)
        return await self._owners.cancel_job(record, request)

    async def watch(
        self, request: gate_service_pb2.WatchJobRequest, origin: CallOrigin
    ) -> AsyncGenerator[gate_service_pb2.JobEvent, None]:
        """Events of a job after a sequence, until its result; raises JOB_NOT_FOUND."""
        async with aclosing(await self._events(request, origin)) as events:
            async for event in events:
                yield event

    async def record(self, job_id: str) -> record_pb2.JobRecord:
        """The record of a job; raises JOB_NOT_FOUND."""
        record = await self._store.get(job_id)
        if record is None:
            raise HyperscaleError(ErrorReason.JOB_NOT_FOUND, metadata={"job_id": job_id[:256]})
        return record

    async def _events(
        self, request: gate_service_pb2.WatchJobRequest, origin: CallOrigin
    ) -> AsyncGenerator[gate_service_pb2.JobEvent, None]:
        run = self._state.find(request.job_id)
        if run is not None:
            return run.events.watch(request.after_sequence, run.snapshot)
        record = await self.record(request.job_id)
        if record.status in TERMINAL:
            return _iterate(stored_events(stored_job_status(record), record.result_sequence, request.after_sequence))
        self._check_elsewhere(record, origin)
        return self._owners.watch_job(record, request)

    def _check_elsewhere(self, record: record_pb2.JobRecord, origin: CallOrigin) -> None:
        """Refuse a job that no gate acts for at the moment: its end is being recorded."""
        if record.gate_id == self._gate_id:
            raise HyperscaleError(ErrorReason.NOT_READY, "the job is changing hands; ask again")
        _check_first_hop(record, origin)


def _check_first_hop(record: record_pb2.JobRecord, origin: CallOrigin) -> None:
    if origin is CallOrigin.GATE:
        raise not_owner(record)


async def _iterate(events: tuple[gate_service_pb2.JobEvent, ...]) -> AsyncGenerator[gate_service_pb2.JobEvent, None]:
    for event in events:
        yield event
