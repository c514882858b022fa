"""Jobs whose gate is gone: they end with the reason, and their datacenters are told to stop.

A gate ends, at its start, the unfinished jobs of its own earlier life, and later those of any gate that has let their leases run
out. An acknowledged cancellation still ends CANCELLED; everything else ends FAILED. What teardowns it owes are run before.
"""

from __future__ import annotations

import asyncio

from hyperscale.gate.cancellation import CancelCourier, notices
from hyperscale.gate.closing import JobCloser
from hyperscale.gate.job_lifecycle import TERMINAL
from hyperscale.gate.leases import JobLeases
from hyperscale.gate.orphans import OrphanSearch
from hyperscale.gate.stages import SETUP, last_stage, owes_teardown
from hyperscale.gate.store import JobStore
from hyperscale.gate.submission import JobRuns
from hyperscale.runtime.coordination import CoordinationUnavailableError, Lease, LeaseLostError
from hyperscale.runtime.supervisor import Supervisor
from hyperscale.v1 import job_pb2, record_pb2

_AT_ONCE = 32


class JobRecovery:
    """Ends jobs that nobody runs any more.

    Parameters
    ----------
    gate_id
        Node id of this gate.
    """

    def __init__(
        self,
        *,
        gate_id: str,
        store: JobStore,
        leases: JobLeases,
        closer: JobCloser,
        courier: CancelCourier,
        runs: JobRuns,
        supervisor: Supervisor,
    ) -> None:
        self._gate_id = gate_id
        self._store = store
        self._leases = leases
        self._closer = closer
        self._courier = courier
        self._runs = runs
        self._supervisor = supervisor

    async def end_own(self) -> None:
        """End the unfinished jobs of this gate's earlier life; called before it takes calls."""
        own = [ack for ack in await self._store.unfinished() if ack.gate_id == self._gate_id]
        await self._end_all(own)

    async def end_orphans(self, search: OrphanSearch) -> None:
        """End jobs whose lease has run out, again and again."""
        while True:
            await search.next()
            try:
                await self.end_orphans_once(search)
            except CoordinationUnavailableError as error:
                self._supervisor.report(error, "orphan-search")

    async def end_orphans_once(self, search: OrphanSearch) -> None:
        """End the jobs whose lease has run out now, and whose turn has come."""
        await self._end_all(await search.due())

    async def _end_all(self, acks: list[job_pb2.JobAck]) -> None:
        for start in range(0, len(acks), _AT_ONCE):
            await asyncio.gather(*map(self._end, acks[start : start + _AT_ONCE]))

    async def _end(self, ack: job_pb2.JobAck) -> None:
        lease = await self._leases.acquire(ack.job_id)
        if lease is None:
            return
        record = await self._store.get(ack.job_id)
        if record is None or record.status in TERMINAL:
            await self._leases.release(lease)
            return
        if owes_teardown(record):
            self._runs.resume(record, lease, self._reason(record))
            return
        try:
            await self._closer.close_unjudged(record, lease, self._reason(record))
        except (LeaseLostError, CoordinationUnavailableError) as error:
            # Found again by the next search.
            self._supervisor.report(error, "job-recovery", job_id=ack.job_id)
            return
        self._tell(record, lease)

    def _tell(self, record: record_pb2.JobRecord, lease: Lease) -> None:
        for notice in notices(record, lease, self._reason(record)):
            _ = self._courier.tell(notice)

    def _reason(self, record: record_pb2.JobRecord) -> str:
        setup = "; its setup had begun, and is not run again" if last_stage(record) == SETUP else ""
        if record.gate_id == self._gate_id:
            return f"gate {record.gate_id} restarted while the job was under way{setup}"
        return f"gate {record.gate_id}, which owned the job, is gone{setup}"
