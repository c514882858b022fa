"""The score of a datacenter: latency × load × quality × preference × SLO, and what overload and failures add; lower wins.

Law: more load never lowers a score, neither does a longer way.
"""

from __future__ import annotations

from hyperscale.routing.capacity import utilization
from hyperscale.routing.models.candidates import DatacenterCapacity, DatacenterStaff, RoundTrip, SloStanding
from hyperscale.routing.models.config import RoutingConfig

PREFERENCE = 0.9


def rtt_ucb_ms(round_trip: RoundTrip | None, config: RoutingConfig) -> float:
    """Upper bound of a round trip: its expected value and two standard deviations, as configured."""
    if round_trip is None:
        bound_ms = config.default_rtt_ms + config.sigmas * config.default_sigma_ms
    else:
        bound_ms = round_trip.rtt_ms + config.sigmas * round_trip.sigma_ms
    return min(max(bound_ms, config.rtt_floor_ms), config.rtt_ceiling_ms)


def coordinate_quality(round_trip: RoundTrip | None, config: RoutingConfig) -> float:
    """How far a round trip can be trusted: 0 (nothing is known) to 1, by samples, error and age."""
    if round_trip is None:
        return 0.0
    samples_needed, quality = max(1, config.samples_for_quality), 1.0
    if round_trip.samples < samples_needed:
        quality = round_trip.samples / samples_needed
    if round_trip.error > config.good_error > 0:
        quality *= config.good_error / round_trip.error
    if round_trip.age_seconds > config.coordinate_ttl_seconds:
        quality *= config.coordinate_ttl_seconds / round_trip.age_seconds
    return quality


def load_factor(capacity: DatacenterCapacity, open_circuits: int) -> float:
    """1 (idle) to 5."""
    queue = capacity.queue / (capacity.queue + 10)
    return min(5.0, 1.0 + 0.5 * utilization(capacity) + 0.3 * queue + 0.2 * open_circuits)


def quality_factor(quality: float) -> float:
    """1 (a distance that is known) to 1.5 (one that is not); never above 2."""
    return min(2.0, 1.0 + 0.5 * (1.0 - quality))


def severity_factor(staff: DatacenterStaff) -> float:
    """1 (nobody is overloaded) to 1.5 (every worker or every manager is)."""
    if not staff.overloaded_workers and not staff.overloaded_managers:
        return 1.0
    workers = staff.overloaded_workers / max(1, staff.workers)
    managers = staff.overloaded_managers / max(1, staff.managers)
    return 1.0 + 0.5 * min(1.0, max(workers, managers))


def slo_factor(slo: SloStanding | None) -> float:
    """1 (no percentile has reached the limit that health sees) to 2 (one is at twice its limit)."""
    if slo is None:
        return 1.0
    beyond = max(slo.p50_ms / 1.5, slo.p95_ms / 2.0, slo.p99_ms / 3.0) / slo.target_ms
    return min(2.0, max(1.0, beyond))
