"""The unfinished jobs this gate owns: the one map of them, and its bound.

Laws: a job enters once its room is reserved and leaves when it has ended or is no longer owned; reserved and entered jobs
together never exceed the limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hyperscale.gate.job_run import JobRun
from hyperscale.runtime.errors import ErrorReason, HyperscaleError


class GateState:
    """Unfinished jobs by id.

    Parameters
    ----------
    max_active_jobs
        Reserved and entered jobs at most.
    """

    def __init__(self, max_active_jobs: int) -> None:
        self._max_active_jobs = max_active_jobs
        self._runs: dict[str, JobRun] = {}
        self._reserved: set[str] = set()

    def __len__(self) -> int:
        return len(self._runs)

    @contextmanager
    def reserved(self, job_id: str) -> Iterator[None]:
        """Keep room for a job while it is being committed; raises TOO_MANY_JOBS."""
        if len(self._runs) + len(self._reserved) >= self._max_active_jobs:
            raise HyperscaleError(ErrorReason.TOO_MANY_JOBS, metadata={"limit": str(self._max_active_jobs)})
        self._reserved.add(job_id)
        try:
            yield
        finally:
            self._reserved.discard(job_id)

    def enter(self, run: JobRun) -> None:
        """Take charge of a job."""
        self._runs[run.job_id] = run

    def leave(self, job_id: str) -> None:
        """Let go of a job."""
        self._runs.pop(job_id, None)

    def find(self, job_id: str) -> JobRun | None:
        """The job, if it is owned here and has not ended."""
        return self._runs.get(job_id)

    def is_in_charge(self, job_id: str) -> bool:
        """Whether the job is owned here, or about to be."""
        return job_id in self._runs or job_id in self._reserved

    def runs(self) -> list[JobRun]:
        """Every job owned here, oldest first."""
        return list(self._runs.values())
