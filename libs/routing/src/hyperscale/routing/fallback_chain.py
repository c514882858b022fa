"""Where a job goes when one of its datacenters fails it.

Law: the rest of the bucket, then the lower ones, each best first; nobody is in it twice.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from hyperscale.routing.models.candidates import DatacenterHealth
from hyperscale.routing.models.decisions import CandidateStanding


def fallback_chain(
    buckets: Mapping[DatacenterHealth, list[CandidateStanding]], primaries: Collection[str]
) -> tuple[str, ...]:
    """Names in the order in which they are to be tried, after the primaries."""
    return tuple(
        standing.name for health in sorted(buckets) for standing in buckets[health] if standing.name not in primaries
    )
