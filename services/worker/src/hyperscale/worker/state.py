"""The mutable state of the worker's control process. Everybody else goes through these methods."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.lifecycle import NodeLifecycle
from hyperscale.v1.dispatch_pb2 import ShardAttempts, WorkflowDispatch, WorkflowDispatchAck
from hyperscale.worker.leases import JobLedger
from hyperscale.worker.models.shards import EngineShare, ShardAdmission


class WorkerState:
    """Engines that are ready or reserved, and the job ledger; times are monotonic seconds.

    Parameters
    ----------
    on_change
        Called when free cores or shards are others.
    """

    def __init__(self, total_cores: int, jobs: JobLedger, node: NodeLifecycle, on_change: Callable[[], None]) -> None:
        self.total_cores = total_cores
        self._jobs = jobs
        self._node = node
        self._on_change = on_change
        self._ready: dict[int, int] = {}
        self._all_ready = asyncio.Event()
        self._reserved: dict[int, str] = {}

    @property
    def available_cores(self) -> int:
        """Engines that are ready and work for nobody."""
        return len(self._free_slots())

    @property
    def ready_slots(self) -> list[int]:
        """Slots of the engines that are up, at work or not."""
        return sorted(self._ready)

    @property
    def active_shards(self) -> list[str]:
        """Shards under way."""
        return self._jobs.active_shards

    def engine_ready(self, slot: int, pid: int) -> None:
        """An engine is up and idle."""
        self._ready[slot] = pid
        if len(self._ready) == self.total_cores:
            self._all_ready.set()
        self._on_change()

    async def engines_ready(self) -> None:
        """Wait until all engines have been up together once."""
        await self._all_ready.wait()

    def engine_gone(self, slot: int) -> None:
        """An engine has died; its reservation stays until its shard has ended."""
        self._ready.pop(slot, None)
        self._on_change()

    def admit(self, dispatch: WorkflowDispatch, now: float) -> ShardAdmission:
        """Reserve engines for a shard, or repeat the answer that this attempt already got.

        Raises STALE_FENCE, DUPLICATE_SHARD, DRAINING, SYNCING or INSUFFICIENT_CORES, and then changes nothing but the
        fence seen.
        """
        self._jobs.check_fence(dispatch.job_id, dispatch.fence_token, now)
        answered = self._jobs.answered(dispatch, now)
        if answered is not None:
            return ShardAdmission(answered, ())
        self._node.require_active()
        slots = self._reserve(dispatch)
        ack = WorkflowDispatchAck(
            shard_id=dispatch.shard_id, cores_assigned=len(slots), available_cores=self.available_cores
        )
        self._jobs.open(dispatch, ack, now)
        self._on_change()
        return ShardAdmission(ack, slots)

    def engines_of(self, slots: Iterable[int]) -> list[EngineShare]:
        """The engines in slots that were just reserved."""
        return [EngineShare(slot, self._ready[slot]) for slot in slots]

    def cancel(
        self, job_id: str, fence_token: int, shards: Iterable[ShardAttempts], now: float
    ) -> tuple[list[str], list[str]]:
        """Refuse shards from now on; return those that run and those that do not. Raises STALE_FENCE."""
        self._jobs.check_fence(job_id, fence_token, now)
        return self._jobs.cancel(job_id, shards, now)

    def finish(self, job_id: str, shard_id: str, now: float) -> None:
        """A shard has ended: its engines are free again."""
        self._jobs.close(job_id, shard_id, now)
        self._reserved = {slot: holder for slot, holder in self._reserved.items() if holder != shard_id}
        self._on_change()

    def _reserve(self, dispatch: WorkflowDispatch) -> tuple[int, ...]:
        free = self._free_slots()
        if dispatch.cores > len(free):
            metadata = {"requested": str(dispatch.cores), "available": str(len(free))}
            raise HyperscaleError(ErrorReason.INSUFFICIENT_CORES, metadata=metadata)
        slots = tuple(free[: dispatch.cores])
        self._reserved.update(dict.fromkeys(slots, dispatch.shard_id))
        return slots

    def _free_slots(self) -> list[int]:
        return sorted(self._ready.keys() - self._reserved.keys())
