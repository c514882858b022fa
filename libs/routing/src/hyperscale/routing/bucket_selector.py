"""Which datacenters a job's own are taken from.

Law: a bucket is used only when no better one has a candidate.
"""

from __future__ import annotations

from collections.abc import Iterable

from hyperscale.routing.models.candidates import DatacenterHealth
from hyperscale.routing.models.decisions import CandidateStanding


def buckets_of(standings: Iterable[CandidateStanding]) -> dict[DatacenterHealth, list[CandidateStanding]]:
    """Datacenters that can be used, by health, each bucket best first; buckets without any are left out."""
    usable = sorted(
        (standing for standing in standings if standing.exclusion is None),
        key=lambda standing: (standing.finding.health, standing.order),
    )
    buckets: dict[DatacenterHealth, list[CandidateStanding]] = {}
    for standing in usable:
        buckets.setdefault(standing.finding.health, []).append(standing)
    return buckets
