"""Which datacenters cannot be used at all.

Laws: only what is known against a datacenter excludes it; what is not known of it, its distance first of all, never does.
"""

from __future__ import annotations

from hyperscale.routing.models.candidates import DatacenterCandidate, DatacenterHealth, RoutingRequest, RoutingScope
from hyperscale.routing.models.decisions import Exclusion, HealthFinding


def exclusion_of(candidate: DatacenterCandidate, finding: HealthFinding, request: RoutingRequest) -> Exclusion | None:
    """Why a datacenter cannot be used; None when it can."""
    if candidate.name in request.exclude:
        return Exclusion.REQUESTED
    if request.scope is RoutingScope.REQUIRED and candidate.name not in request.required:
        return Exclusion.NOT_REQUIRED
    staff = candidate.staff
    if staff.managers == 0:
        return Exclusion.NO_MANAGERS
    if staff.open_circuits >= staff.managers:
        return Exclusion.CIRCUITS_OPEN
    if finding.health is DatacenterHealth.UNHEALTHY:
        return Exclusion.UNHEALTHY
    return None
