"""Ownership of jobs. A gate that has not renewed a job's lease in time stops acting as its owner, whatever the store says later."""

from __future__ import annotations

import asyncio

from hyperscale.gate.job_run import JobRun
from hyperscale.gate.state import GateState
from hyperscale.gate.store import lease_name
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.coordination import CoordinationUnavailableError, Coordinator, Lease, LeaseLostError
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.supervisor import Supervisor

_AT_ONCE = 64


class JobLeases:
    """Takes, renews and gives up the leases of jobs for one gate.

    Parameters
    ----------
    owner
        Node id of the gate.
    """

    def __init__(
        self, coordinator: Coordinator, owner: str, ttl_seconds: float, supervisor: Supervisor, clock: Clock
    ) -> None:
        self._coordinator = coordinator
        self._owner = owner
        self._ttl_seconds = ttl_seconds
        self._supervisor = supervisor
        self._clock = clock

    async def acquire(self, job_id: str) -> Lease | None:
        """Become the owner of a job; None when another gate is."""
        return await self._coordinator.acquire(lease_name(job_id), self._owner, self._ttl_seconds)

    async def is_owned(self, job_id: str) -> bool:
        """Whether any gate owns the job now."""
        return await self._coordinator.holder(lease_name(job_id)) is not None

    async def release(self, lease: Lease) -> None:
        """Give a job up; when the store does not answer, the lease runs out by itself."""
        try:
            await self._coordinator.release(lease)
        except CoordinationUnavailableError as error:
            self._supervisor.report(error, "lease-release", lease=lease.name)

    async def keep(self, state: GateState) -> None:
        """Renew the lease of every job in time, for as long as it runs."""
        while True:
            await asyncio.sleep(self._ttl_seconds / 3)
            await self.renew(state.runs())

    async def renew(self, runs: list[JobRun]) -> None:
        """Renew the leases of jobs once; jobs whose lease is lost are abandoned."""
        for start in range(0, len(runs), _AT_ONCE):
            await asyncio.gather(*map(self._renew, runs[start : start + _AT_ONCE]))

    async def _renew(self, run: JobRun) -> None:
        if run.is_terminal or run.is_abandoned:
            return
        try:
            async with asyncio.timeout(max(0.0, run.lease.expires_at - self._clock.wall())):
                run.renewed(await self._coordinator.renew(run.lease, self._ttl_seconds))
        except (LeaseLostError, TimeoutError) as error:
            self._lose(run, error)
        except CoordinationUnavailableError as error:
            self._supervisor.report(error, "lease-renewal", job_id=run.job_id)
            if self._clock.wall() >= run.lease.expires_at:
                self._lose(run, error)

    def _lose(self, run: JobRun, error: Exception) -> None:
        if run.is_terminal:
            return
        self._supervisor.report(error, "lease-lost", job_id=run.job_id)
        run.abandon(HyperscaleError(ErrorReason.NOT_READY, "this gate no longer owns the job; ask again"))
