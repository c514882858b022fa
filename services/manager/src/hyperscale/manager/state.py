"""The one owner of the jobs that this manager runs."""

from __future__ import annotations

import asyncio

from hyperscale.manager.models.job import AssignedShard, DatacenterJob


class ManagerState:
    """Unfinished jobs, and which of their shards each worker has. Only the leader has any.

    A job leaves when its end is durable, or when leadership is lost: whoever awaits something asks `holds` afterwards.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, DatacenterJob] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def active_workflows(self) -> int:
        """Workflows that have shards at work."""
        return sum(bool(run.live_shards) for job in self._jobs.values() for run in job.workflows.values())

    def jobs(self) -> tuple[DatacenterJob, ...]:
        """Unfinished jobs in the order of their acceptance."""
        return tuple(self._jobs.values())

    def find(self, job_id: str) -> DatacenterJob | None:
        """The unfinished job, if it is here."""
        return self._jobs.get(job_id)

    def holds(self, job: DatacenterJob) -> bool:
        """Whether the job is still run by this manager under the same leadership."""
        return self._jobs.get(job.job_id) is job

    def add(self, job: DatacenterJob) -> None:
        """Take a job over."""
        self._jobs[job.job_id] = job

    def remove(self, job: DatacenterJob) -> None:
        """Let go of a job."""
        if self.holds(job):
            del self._jobs[job.job_id]
            self._changed.set()

    def clear(self) -> tuple[DatacenterJob, ...]:
        """Let go of everything; returns what there was."""
        jobs = self.jobs()
        self._jobs.clear()
        self._changed.set()
        return jobs

    async def wait_empty(self) -> None:
        """Wait until every job has left."""
        while self._jobs:
            self._changed.clear()
            await self._changed.wait()

    def shards_of(self, worker_id: str) -> list[tuple[DatacenterJob, AssignedShard]]:
        """Shards that the worker has, is being asked to take, or may have taken without our hearing of it."""
        return [
            (job, shard)
            for job in self._jobs.values()
            for shard in job.shards()
            if shard.worker_id == worker_id and not shard.has_ended
        ]
