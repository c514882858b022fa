"""A decision of the router that nobody has acted on yet."""

from __future__ import annotations

from dataclasses import dataclass

from hyperscale.routing.models.candidates import RoutingRequest
from hyperscale.routing.models.decisions import RoutingDecision


@dataclass(frozen=True, slots=True)
class Consideration:
    """Where a job would go."""

    job_id: str
    request: RoutingRequest
    decision: RoutingDecision
    took_seconds: float

    @property
    def is_short(self) -> bool:
        """Whether fewer datacenters can be used than the job asks for."""
        return not self.decision.primaries

    @property
    def count(self) -> int:
        """Datacenters that the job gets, or would need."""
        return max(self.request.fewest, len(self.decision.primaries))

    @property
    def excluded(self) -> list[str]:
        """Datacenters that cannot be used."""
        return [standing.name for standing in self.decision.standings if standing.exclusion is not None]
