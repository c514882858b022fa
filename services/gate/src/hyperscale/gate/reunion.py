"""The datacenters that gates knew before this one started, until they are back.

Law: what does not come back within the grace is not waited for any longer.
"""

from __future__ import annotations

from collections.abc import Iterable

from hyperscale.gate.capacity import spoken_for, takes_jobs
from hyperscale.gate.registry import ManagerRegistry
from hyperscale.runtime.clock import Clock


class DatacenterReunion:
    """Whether a gate that has just started can judge where jobs may go.

    Parameters
    ----------
    grace_seconds
        How long datacenters are waited for.
    """

    def __init__(self, registry: ManagerRegistry, clock: Clock, grace_seconds: float) -> None:
        self._registry = registry
        self._clock = clock
        self._grace_seconds = grace_seconds
        self._awaited: frozenset[str] = frozenset()
        self._ends_at = float("-inf")

    def expect(self, datacenters: Iterable[str]) -> None:
        """These were there before."""
        self._awaited = frozenset(datacenters)
        self._ends_at = self._clock.monotonic() + self._grace_seconds

    def is_complete(self) -> bool:
        """Whether each of them has had a leader that takes jobs since, or has had its time to come back."""
        if self._awaited and self._clock.monotonic() >= self._ends_at:
            self._awaited = frozenset()
        self._awaited = frozenset(name for name in self._awaited if not self._is_back(name))
        return not self._awaited

    def _is_back(self, datacenter: str) -> bool:
        return takes_jobs(spoken_for(self._registry.connected(datacenter), self._clock.monotonic()))
