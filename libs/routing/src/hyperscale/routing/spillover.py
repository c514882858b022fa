"""Whether a job that would have to wait goes to a second datacenter.

Law: exactly when all four hold: the first one cannot start it now and its wait is too long; the second one can start now; the
second one costs little latency; and its wait is at most a share of the first one's.
"""

from __future__ import annotations

from hyperscale.routing.models.config import RoutingConfig
from hyperscale.routing.models.decisions import CandidateStanding


def should_spill(primary: CandidateStanding, second: CandidateStanding, config: RoutingConfig) -> bool:
    """Whether the second datacenter takes the place of the first."""
    here, there = primary.components, second.components
    if here is None or there is None:
        return False
    return (
        primary.wait_seconds > config.spill_wait_seconds
        and second.wait_seconds == 0.0
        and there.latency_ms - here.latency_ms <= config.spill_latency_ms
        and second.wait_seconds <= config.spill_wait_share * primary.wait_seconds
    )
