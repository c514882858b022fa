"""What follows from a change of a job, decided by those whom it concerns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hyperscale.manager.models.job import AssignedShard, DatacenterJob


class JobObserver(Protocol):
    """Wants to know what happens to jobs. It is told when a step is done, while nothing is locked."""

    def job_changed(self, job: DatacenterJob) -> None:
        """The status of the job or of one of its workflows is another, or cores came free."""
        ...

    def shards_to_stop(self, job: DatacenterJob, shards: Sequence[AssignedShard], reason: str) -> None:
        """Workers run these shards and should not any more."""
        ...

    def job_settled(self, job: DatacenterJob) -> None:
        """Every workflow has ended and no shard makes load; said once."""
        ...


class JobEvents:
    """Passes what happens to every observer, in the order of their subscription."""

    def __init__(self) -> None:
        self._observers: list[JobObserver] = []

    def subscribe(self, observer: JobObserver) -> None:
        """Tell the observer from now on."""
        self._observers.append(observer)

    def job_changed(self, job: DatacenterJob) -> None:
        """The status of the job or of one of its workflows is another, or cores came free."""
        for observer in self._observers:
            observer.job_changed(job)

    def shards_to_stop(self, job: DatacenterJob, shards: Sequence[AssignedShard], reason: str) -> None:
        """Workers run these shards and should not any more."""
        for observer in self._observers:
            observer.shards_to_stop(job, shards, reason)

    def job_settled(self, job: DatacenterJob) -> None:
        """Every workflow has ended and no shard makes load."""
        for observer in self._observers:
            observer.job_settled(job)
