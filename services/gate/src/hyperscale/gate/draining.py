"""The orderly end of a gate: the jobs it owns end by the rule of a restart, and their datacenters are told once."""

from __future__ import annotations

import asyncio

from hyperscale.gate.cancellation import CancelCourier, notices
from hyperscale.gate.closing import JobCloser
from hyperscale.gate.job_run import JobRun
from hyperscale.gate.leases import JobLeases
from hyperscale.gate.stages import TEARDOWN, last_stage, owes_teardown
from hyperscale.gate.state import GateState
from hyperscale.runtime.coordination import CoordinationUnavailableError, LeaseLostError
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.supervisor import Supervisor


class GateDrain:
    """Ends what a gate still owns."""

    def __init__(
        self,
        *,
        gate_id: str,
        state: GateState,
        leases: JobLeases,
        closer: JobCloser,
        courier: CancelCourier,
        supervisor: Supervisor,
    ) -> None:
        self._gate_id = gate_id
        self._state = state
        self._leases = leases
        self._closer = closer
        self._courier = courier
        self._supervisor = supervisor

    async def end_jobs(self, timeout_seconds: float) -> None:
        """Send watchers away and end every unfinished job; what takes longer is ended after the next start."""
        runs = self._state.runs()
        for run in runs:
            run.abandon(HyperscaleError(ErrorReason.DRAINING))
        try:
            async with asyncio.timeout(timeout_seconds):
                await asyncio.gather(*map(self._end, runs))
        except TimeoutError as error:
            self._supervisor.report(error, "drain", jobs=len(runs))

    async def _end(self, run: JobRun) -> None:
        """End a job; one that owes teardowns is left to whoever finds it next, with its load stopped."""
        reason = f"gate {self._gate_id} was shut down while the job was under way"
        async with run.durable:
            if run.is_terminal:
                return
            record = run.record
            try:
                if owes_teardown(record):
                    await self._leases.release(run.lease)
                else:
                    await self._closer.close_unjudged(record, run.lease, reason)
            except (LeaseLostError, CoordinationUnavailableError) as error:
                self._supervisor.report(error, "drain", job_id=run.job_id)
                return
        if last_stage(record) == TEARDOWN:
            return
        done = {name for name, part in run.parts.items() if part.is_done}
        await asyncio.gather(
            *(
                self._courier.tell_once(notice)
                for notice in notices(record, run.lease, reason)
                if notice.datacenter not in done
            )
        )
