"""Starting workflows: each as soon as its own dependencies are merged and cores are free."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Sequence

from hyperscale.manager.allocation import allocate, first_ones_first
from hyperscale.manager.dispatch import ShardDispatcher
from hyperscale.manager.models.allocation import Allocation, CorePlacement, CorePool, CoreRequest
from hyperscale.manager.models.job import AssignedShard, DatacenterJob, ShardPhase, WorkflowRun
from hyperscale.manager.progression import JobProgression, ready_runs
from hyperscale.manager.registry import WorkerRegistry
from hyperscale.manager.state import ManagerState
from hyperscale.v1.node_pb2 import OVERLOAD_STATE_OVERLOADED
from hyperscale.v1.workflow_pb2 import PRIORITY_EXCLUSIVE, Workflow
from hyperscale.workload.defaults import priority_of
from hyperscale.workload.profiles import load_iterations
from hyperscale.workload.splitting import busy_places, split_workflow


class Scheduler:
    """Gives free cores to what is ready.

    A round is woken by whatever may have changed its outcome: a job that came, cores that came free, a worker that
    came, a workflow that ended. Workers that refused are asked again after a while, so a round also comes by itself.

    Parameters
    ----------
    woken
        Set by whoever frees cores or brings work.
    interval_seconds
        Longest time between two rounds.
    """

    def __init__(
        self,
        *,
        state: ManagerState,
        workers: WorkerRegistry,
        progression: JobProgression,
        dispatcher: ShardDispatcher,
        woken: asyncio.Event,
        interval_seconds: float,
    ) -> None:
        self._state = state
        self._workers = workers
        self._progression = progression
        self._dispatcher = dispatcher
        self._interval_seconds = interval_seconds
        self._woken = woken

    def job_changed(self, job: DatacenterJob) -> None:
        """A workflow may have become ready, or cores free."""
        self._woken.set()

    def shards_to_stop(self, job: DatacenterJob, shards: Sequence[AssignedShard], reason: str) -> None:
        """Nothing to do here: cores are free when the shards have ended."""

    def job_settled(self, job: DatacenterJob) -> None:
        """Nothing to do here."""

    async def run(self) -> None:
        """Hold rounds until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._interval_seconds):
                    await self._woken.wait()
            except TimeoutError:
                # The round that comes by itself.
                pass
            self._woken.clear()
            self.hold_round()

    def hold_round(self) -> None:
        """Offer free cores to what is ready."""
        for job in self._state.jobs():
            self._place_again(job)
        ready = {run.key: (job, run) for job in self._state.jobs() for run in ready_runs(job)}
        for allocation in allocate([_request(run) for _, run in ready.values()], self._pool()):
            self._start(*ready[allocation.key], allocation)
        for job, run in ready.values():
            self._progression.wait(job, run, "" if run.shards else self._why_waiting(run))

    def _place_again(self, job: DatacenterJob) -> None:
        """Offer shards that lost their place to other workers; their workflow's other shards are under way."""
        for run, shard in _unplaced(job):
            worker = next(iter(first_ones_first(self._workers.capacities())), None)
            if worker is None:
                self._progression.wait(job, run, self._why_waiting(run))
                return
            run.offers += 1
            shard.attempt, shard.progress_sequence, shard.due_at_seconds = run.offers, 0, math.inf
            shard.cores = busy_places(shard.workflow, min(shard.cores, worker.free_cores))
            shard.worker_id = worker.worker_id
            shard.phase = ShardPhase.PLACING
            self._progression.wait(job, run, "")
            self._workers.reserve(shard.worker_id, shard.shard_id, shard.cores)
            self._dispatcher.place(job, [shard])

    def _start(self, job: DatacenterJob, run: WorkflowRun, allocation: Allocation) -> None:
        run.offers += 1
        run.start_at_seconds = None
        run.shards = [
            AssignedShard(
                f"{job.job_id}/{run.key.workflow_name}/{number}", part, place.cores, place.worker_id, run.offers
            )
            for number, (part, place) in enumerate(_busy_parts(run.workflow, allocation.placements))
        ]
        for shard in run.shards:
            self._workers.reserve(shard.worker_id, shard.shard_id, shard.cores)
        if sum(shard.cores for shard in run.shards) < sum(place.cores for place in allocation.placements):
            # Others may want what it has no use for.
            self._woken.set()
        self._dispatcher.place(job, tuple(run.shards))

    def _pool(self) -> CorePool:
        busy = [run for job in self._state.jobs() for run in job.workflows.values() if run.live_shards]
        return CorePool(
            workers=self._workers.capacities(),
            is_idle=not busy,
            is_exclusive=any(run.workflow.priority == PRIORITY_EXCLUSIVE for run in busy),
        )

    def _why_waiting(self, run: WorkflowRun) -> str:
        """What has to change before a workflow can be started, for people."""
        pool = self._pool()
        if len(self._workers) == 0:
            return "no worker is registered"
        overloaded = self._workers.overload_count(OVERLOAD_STATE_OVERLOADED)
        if not pool.workers:
            cause = f": {overloaded} of {len(self._workers)} are overloaded" if overloaded else ""
            return f"no worker takes work at present{cause}"
        if pool.is_exclusive:
            return "waits for an exclusive workflow to end"
        if run.workflow.priority == PRIORITY_EXCLUSIVE and not pool.is_idle:
            return "waits for all other workflows to end, since it is exclusive"
        if pool.free_cores == 0:
            cause = " or belong to overloaded workers" if overloaded else ""
            return f"waits for a free core: all {self._workers.total_cores} are in use{cause}"
        return "waits for free cores: others come first"


def _request(run: WorkflowRun) -> CoreRequest:
    """A workflow never uses more cores than it has users, or iterations for them."""
    iterations = load_iterations(run.workflow)
    return CoreRequest(
        run.key, priority_of(run.workflow), run.users if iterations is None else min(run.users, iterations)
    )


def _busy_parts(workflow: Workflow, placements: Sequence[CorePlacement]) -> Iterator[tuple[Workflow, CorePlacement]]:
    """The parts of a workflow that have any work, each with as many of its cores as have."""
    parts = split_workflow(workflow, [placement.cores for placement in placements])
    for part, place in zip(parts, placements, strict=True):
        cores = busy_places(part, place.cores)
        if cores:
            yield part, CorePlacement(place.worker_id, cores)


def _unplaced(job: DatacenterJob) -> Iterator[tuple[WorkflowRun, AssignedShard]]:
    if job.is_stopping:
        return
    for run in job.workflows.values():
        for shard in run.shards:
            if shard.phase is ShardPhase.UNPLACED:
                yield run, shard
