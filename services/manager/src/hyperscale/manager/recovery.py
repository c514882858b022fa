"""What a new leader finds, and does about it.

A job that was under way has lost what its leader had counted, so it ends: CANCELLED when that had been promised, FAILED
otherwise. Its workers are told to stop as soon as their heartbeats name shards that no leader has given them.
"""

from __future__ import annotations

import heapq

from structlog.typing import FilteringBoundLogger

from hyperscale.manager.ledger import DatacenterLedger
from hyperscale.manager.registry import WorkerRegistry
from hyperscale.manager.reporting import GateReports
from hyperscale.manager.state import ManagerState
from hyperscale.manager.views import abandoned_result
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.coordination import Lease
from hyperscale.runtime.identity import NodeIdentity
from hyperscale.v1.job_pb2 import JOB_STATUS_CANCELLED, JOB_STATUS_CANCELLING, JOB_STATUS_FAILED
from hyperscale.v1.record_pb2 import DcJobRecord
from hyperscale.workload.timestamps import seconds_of

_RESENT_RESULTS = 100


class LeaderDuties:
    """The begin and the end of this manager's leadership."""

    def __init__(
        self,
        *,
        identity: NodeIdentity,
        state: ManagerState,
        workers: WorkerRegistry,
        ledger: DatacenterLedger,
        reports: GateReports,
        clock: Clock,
        logger: FilteringBoundLogger,
    ) -> None:
        self._identity = identity
        self._state = state
        self._workers = workers
        self._ledger = ledger
        self._reports = reports
        self._clock = clock
        self._logger = logger

    async def lead(self, lease: Lease) -> None:
        """End what an earlier leader left unfinished; send again the latest results, which it may not have sent."""
        ended: list[DcJobRecord] = []
        async for record in self._ledger.records():
            if record.HasField("result"):
                ended.append(record)
                ended = heapq.nlargest(_RESENT_RESULTS, ended, key=lambda each: seconds_of(each.accepted_at))
            else:
                await self._abandon(record, lease)
        for record in ended:
            if record.HasField("dispatch"):
                self._reports.send_final(record.dispatch.gate_id, record.result)

    def step_down(self, reason: str) -> None:
        """Let go of every job: the next leader ends them."""
        jobs = self._state.clear()
        self._workers.release_all()
        if jobs:
            self._logger.warning("jobs left to the next leader", jobs=[job.job_id for job in jobs], reason=reason)

    async def _abandon(self, record: DcJobRecord, lease: Lease) -> None:
        status = JOB_STATUS_CANCELLED if record.status == JOB_STATUS_CANCELLING else JOB_STATUS_FAILED
        reason = (
            f"the leader of datacenter {self._identity.datacenter} was lost while the job was under way; "
            f"manager {self._identity.node_id} leads now"
        )
        result = abandoned_result(record, self._identity.datacenter, status, reason, self._clock.wall())
        await self._ledger.end(record, result, lease)
        self._reports.send_final(record.dispatch.gate_id, result)
        self._logger.warning("job ended by recovery", job_id=result.job_id, status=status)
