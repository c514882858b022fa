"""What is heard of a datacenter may be a moment behind: before a job goes without it, the gate looks again.

Laws: a refusal comes when the patience is over, and no later; only so many jobs wait at a time, others are not looked at twice.
"""

from __future__ import annotations

import asyncio
from typing import Final

from hyperscale.gate.models.consideration import Consideration
from hyperscale.gate.registry import ManagerRegistry
from hyperscale.gate.routing import DatacenterRouting
from hyperscale.routing.models.candidates import RoutingScope
from hyperscale.runtime.clock import Clock
from hyperscale.v1 import job_pb2, routing_pb2

_PAUSE_SECONDS: Final = 0.1
_WAITING_MAX: Final = 100


class SecondLook:
    """Decides where jobs go, again and again for a while as long as datacenters are missing.

    Parameters
    ----------
    patience_seconds
        From the arrival of a job to the last decision; 0: there is only one.
    """

    def __init__(
        self, routing: DatacenterRouting, registry: ManagerRegistry, clock: Clock, patience_seconds: float
    ) -> None:
        self._routing = routing
        self._registry = registry
        self._clock = clock
        self._patience_seconds = patience_seconds
        self._waiting = 0

    async def decide(
        self, job_id: str, submission: job_pb2.JobSubmission, came_at_seconds: float
    ) -> routing_pb2.RoutingDecision:
        """The datacenters of a job, and why; raises NO_USABLE_DATACENTER when fewer than it asks for can be used.

        Of the patience with a job, the time counts since it came (monotonic clock), which another gate may have had.
        """
        considered = self._routing.consider(job_id, submission)
        if self._waiting < _WAITING_MAX:
            self._waiting += 1
            try:
                considered = await self._reconsidered(considered, submission, came_at_seconds + self._patience_seconds)
            finally:
                self._waiting -= 1
        return self._routing.conclude(considered)

    async def _reconsidered(
        self, considered: Consideration, submission: job_pb2.JobSubmission, deadline: float
    ) -> Consideration:
        while self._is_worth_waiting(considered) and self._clock.monotonic() + _PAUSE_SECONDS <= deadline:
            await asyncio.sleep(_PAUSE_SECONDS)
            considered = self._routing.consider(considered.job_id, submission)
        return considered

    def _is_worth_waiting(self, considered: Consideration) -> bool:
        """Whether there are too few, or a job that runs in all would miss one that has just come and may not be complete yet."""
        return considered.is_short or (
            considered.request.scope is RoutingScope.ALL and any(map(self._registry.is_new, considered.excluded))
        )
