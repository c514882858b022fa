"""How many cores are free, until when the others have work, and what waits for them. Pure.

Law: however much there is to tell, no core and no core-second of it is left out.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from hyperscale.manager.models.capacity import CoreUse, Instant
from hyperscale.manager.models.job import AssignedShard, DatacenterJob, ShardPhase, WorkflowRun
from hyperscale.manager.progression import ready_runs
from hyperscale.v1.progress_pb2 import BusyCores, WaitingWork
from hyperscale.v1.workflow_pb2 import PRIORITY_EXCLUSIVE
from hyperscale.workload.defaults import graceful_stop_seconds
from hyperscale.workload.profiles import counted_iterations, load_seconds
from hyperscale.workload.timestamps import duration

MAX_ENTRIES: Final = 64
_SOON_SECONDS: Final = 1.0
"""What should have ended is expected to do so before the next heartbeat."""


def has_exclusive(jobs: Sequence[DatacenterJob]) -> bool:
    """Whether a workflow runs beside which nothing may start."""
    return any(_is_exclusive(run) and run.live_shards for job in jobs for run in job.workflows.values())


def busy_cores(jobs: Sequence[DatacenterJob], total_cores: int, now: Instant) -> list[BusyCores]:
    """Cores that have work, soonest free first. An exclusive workflow has all of them."""
    cores_by_end: defaultdict[float, int] = defaultdict(int)
    for job in jobs:
        for use in _busy(job, total_cores, now):
            cores_by_end[use.seconds] += use.cores
    bounded = folded([CoreUse(cores, seconds) for seconds, cores in sorted(cores_by_end.items())], MAX_ENTRIES)
    return [BusyCores(cores=use.cores, ends_in=duration(use.seconds)) for use in bounded]


def waiting_work(jobs: Sequence[DatacenterJob], total_cores: int, now: Instant) -> list[WaitingWork]:
    """What would start if there were cores; what waits for other workflows of its job is not yet in anybody's way."""
    bounded = folded([use for job in jobs for use in _waiting(job, total_cores, now)], MAX_ENTRIES)
    return [WaitingWork(cores=use.cores, lasts=duration(use.seconds)) for use in bounded]


def folded(uses: Sequence[CoreUse], entries_max: int) -> Sequence[CoreUse]:
    """No more than so many uses, the last of which stands for all that are too many: sums of cores and of cores times
    seconds stay as they are.
    """
    if len(uses) <= entries_max:
        return uses
    rest = uses[entries_max - 1 :]
    cores = sum(use.cores for use in rest)
    core_seconds = sum(use.cores * use.seconds for use in rest)
    return [*uses[: entries_max - 1], CoreUse(cores, core_seconds / cores)]


def _busy(job: DatacenterJob, total_cores: int, now: Instant) -> Iterator[CoreUse]:
    for run in job.workflows.values():
        uses = [CoreUse(shard.cores, _ends_in_seconds(job, shard, now)) for shard in run.shards if shard.is_with_worker]
        if uses and _is_exclusive(run):
            yield CoreUse(max(total_cores, run.cores), max(use.seconds for use in uses))
        else:
            yield from uses


def _waiting(job: DatacenterJob, total_cores: int, now: Instant) -> Iterator[CoreUse]:
    for run in ready_runs(job):
        # It starts with whatever is free, unless it wants everything.
        yield CoreUse(max(1, total_cores) if _is_exclusive(run) else 1, load_seconds(run.workflow))
    for shard in job.shards():
        if shard.phase is ShardPhase.UNPLACED and not job.is_stopping:
            yield CoreUse(shard.cores, _ends_in_seconds(job, shard, now))


def _ends_in_seconds(job: DatacenterJob, shard: AssignedShard, now: Instant) -> float:
    """When a shard that was handed out gives its cores back, as far as that can be expected; never 0."""
    started_at = job.run_of(shard).start_at_seconds
    elapsed = 0.0 if started_at is None else now.wall_seconds - started_at
    left = load_seconds(shard.workflow) - elapsed
    if left <= 0:
        left += graceful_stop_seconds(shard.workflow)
    left = min(left, _counted_seconds(job, shard, elapsed))
    if job.settle_deadline_seconds is not None:
        left = min(left, job.settle_deadline_seconds - now.monotonic_seconds)
    return max(left, _SOON_SECONDS)


def _counted_seconds(job: DatacenterJob, shard: AssignedShard, elapsed_seconds: float) -> float:
    """When a load of so many iterations is done, when the rest takes as long as those before it."""
    wanted, done = counted_iterations(shard.workflow), job.statistics.iterations_of(shard.slot)
    return math.inf if wanted is None or not done else elapsed_seconds * (wanted - done) / done


def _is_exclusive(run: WorkflowRun) -> bool:
    return run.workflow.priority == PRIORITY_EXCLUSIVE
