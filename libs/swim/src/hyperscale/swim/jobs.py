"""Suspicion within one job: a node can be slow for one job and fine for another.

The group decides whether a node lives; a job decides whether the node answers for it. Evidence is the job's own (progress
that stays out), so that its verdict reaches no other job and no table of members. Death in the group ends all suspicion of a
node: there is nothing left to find out.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class JobStanding(StrEnum):
    """What a job thinks of a node."""

    RESPONSIVE = "responsive"
    SUSPECT = "suspect"
    UNRESPONSIVE = "unresponsive"
    """Suspected, and not heard from in time: for this job it is gone."""


class JobSuspicionRefusal(StrEnum):
    """Why a suspicion was not taken up."""

    TABLE_FULL = "table_full"
    JOB_FULL = "job_full"


@dataclass(frozen=True, slots=True)
class JobSuspicionConfig:
    """How long a job waits for a node it suspects."""

    longest_seconds: float = 30.0
    """Until the verdict when nobody else suspects the node in this job."""
    shortest_seconds: float = 5.0
    """Until the verdict when enough others do."""
    confirmations: int = 2
    """Others that shorten the wait to the least. 0: every suspicion has the shortest."""
    per_job_max: int = 1_000
    """Nodes one job may suspect at a time."""
    entries_max: int = 10_000
    """Suspicions of all jobs together; beyond either limit new ones are refused and counted."""

    def __post_init__(self) -> None:
        if not 0 < self.shortest_seconds <= self.longest_seconds:
            raise ValueError("shortest_seconds must be above 0 and not above longest_seconds")
        if self.confirmations < 0 or self.per_job_max < 1 or self.entries_max < 1:
            raise ValueError("confirmations must not be negative, limits not below 1")

    def wait_seconds(self, confirmed: int) -> float:
        """From the first suspicion to the verdict, with so many confirmations: each counts for less than the one before."""
        if confirmed >= self.confirmations:
            return self.shortest_seconds
        share = math.log(confirmed + 1) / math.log(self.confirmations + 1)
        return self.longest_seconds - (self.longest_seconds - self.shortest_seconds) * share


@dataclass(frozen=True, slots=True)
class JobNodeLost:
    """A node did not answer for a job in time."""

    job_id: str
    node_id: str
    suspected_at: float


@dataclass(slots=True)
class _Suspicion:
    suspected_at: float
    deadline: float
    sources: set[str]
    standing: JobStanding = JobStanding.SUSPECT


class JobSuspicions:
    """Which nodes are suspect for which jobs. Everything not in it is responsive."""

    def __init__(self, config: JobSuspicionConfig) -> None:
        self._config = config
        self._jobs: dict[str, dict[str, _Suspicion]] = {}
        self._deadlines: list[tuple[float, str, str]] = []
        self._entries = 0
        self.refusals: Counter[JobSuspicionRefusal] = Counter()

    def __len__(self) -> int:
        return self._entries

    def standing(self, job_id: str, node_id: str) -> JobStanding:
        """What the job thinks of the node."""
        suspicion = self._jobs.get(job_id, {}).get(node_id)
        return JobStanding.RESPONSIVE if suspicion is None else suspicion.standing

    def suspect(self, job_id: str, node_id: str, source_id: str, now: float) -> bool:
        """Note that somebody misses the node in this job; another source shortens the wait, the same one changes nothing."""
        suspicion = self._jobs.get(job_id, {}).get(node_id)
        if suspicion is None:
            return self._begin(job_id, node_id, source_id, now)
        if suspicion.standing is JobStanding.UNRESPONSIVE or source_id in suspicion.sources:
            return False
        if len(suspicion.sources) > self._config.confirmations:
            return False
        suspicion.sources.add(source_id)
        deadline = suspicion.suspected_at + self._config.wait_seconds(len(suspicion.sources) - 1)
        suspicion.deadline = min(suspicion.deadline, deadline)
        self._schedule(job_id, node_id, suspicion.deadline)
        return True

    def heard_from(self, job_id: str, node_id: str) -> None:
        """The node answered for this job: it is responsive again, whatever was thought of it."""
        suspicions = self._jobs.get(job_id, {})
        if suspicions.pop(node_id, None) is None:
            return
        self._entries -= 1
        if not suspicions:
            del self._jobs[job_id]

    def node_died(self, node_id: str) -> None:
        """The group declared the node dead: no job suspects it any longer."""
        for job_id in [job_id for job_id, suspicions in self._jobs.items() if node_id in suspicions]:
            self.heard_from(job_id, node_id)

    def job_ended(self, job_id: str) -> None:
        """Drop all that a job thought."""
        self._entries -= len(self._jobs.pop(job_id, {}))

    def next_deadline(self) -> float | None:
        """When the next verdict is due."""
        while self._deadlines and self._current(*self._deadlines[0]) is None:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def handle_timer(self, now: float) -> list[JobNodeLost]:
        """The verdicts that have become due, each once."""
        return list(self._expired(now))

    def _expired(self, now: float) -> Iterator[JobNodeLost]:
        while self._deadlines and self._deadlines[0][0] <= now:
            deadline, job_id, node_id = heapq.heappop(self._deadlines)
            suspicion = self._current(deadline, job_id, node_id)
            if suspicion is not None:
                suspicion.standing = JobStanding.UNRESPONSIVE
                yield JobNodeLost(job_id, node_id, suspicion.suspected_at)

    def _begin(self, job_id: str, node_id: str, source_id: str, now: float) -> bool:
        refusal = self._lack_of_room(job_id)
        if refusal is not None:
            self.refusals[refusal] += 1
            return False
        deadline = now + self._config.wait_seconds(0)
        self._jobs.setdefault(job_id, {})[node_id] = _Suspicion(now, deadline, {source_id})
        self._entries += 1
        self._schedule(job_id, node_id, deadline)
        return True

    def _lack_of_room(self, job_id: str) -> JobSuspicionRefusal | None:
        if self._entries >= self._config.entries_max:
            return JobSuspicionRefusal.TABLE_FULL
        if len(self._jobs.get(job_id, ())) >= self._config.per_job_max:
            return JobSuspicionRefusal.JOB_FULL
        return None

    def _schedule(self, job_id: str, node_id: str, deadline: float) -> None:
        if len(self._deadlines) > 2 * self._entries + 64:
            self._deadlines = [entry for entry in self._deadlines if self._current(*entry) is not None]
            heapq.heapify(self._deadlines)
        heapq.heappush(self._deadlines, (deadline, job_id, node_id))

    def _current(self, deadline: float, job_id: str, node_id: str) -> _Suspicion | None:
        """The suspicion that an entry of the heap is about, unless it was cleared, decided or moved since."""
        suspicion = self._jobs.get(job_id, {}).get(node_id)
        if suspicion is None or suspicion.standing is not JobStanding.SUSPECT or suspicion.deadline != deadline:
            return None
        return suspicion
