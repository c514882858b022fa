"""How healthy a datacenter is.

Laws: of all rules that apply the worst counts; what will clear by itself is BUSY, never worse.
"""

from __future__ import annotations

from collections.abc import Iterator

from hyperscale.routing.models.candidates import (
    DatacenterCandidate,
    DatacenterCapacity,
    DatacenterHealth,
    DatacenterStaff,
    SloStanding,
)
from hyperscale.routing.models.decisions import HealthFinding

_HEALTHY = HealthFinding(DatacenterHealth.HEALTHY, "")
_OVERLOADED = (
    (0.8, DatacenterHealth.UNHEALTHY),
    (0.5, DatacenterHealth.DEGRADED),
    (0.3, DatacenterHealth.BUSY),
)
_FEWEST_WORKERS_TO_EXCLUDE = 5
"""Of fewer, 80 % is all of them: one busy machine, which ends by itself and is no reason to refuse jobs that could wait for it."""


def assess(candidate: DatacenterCandidate, health_ttl_seconds: float) -> HealthFinding:
    """The health of a datacenter; one that has been silent for longer than the limit is DEGRADED at best."""
    if _is_plainly_healthy(candidate, health_ttl_seconds):
        return _HEALTHY
    found = [*_presence(candidate), *_majorities(candidate.staff), *_pressure(candidate.staff, candidate.capacity)]
    if candidate.slo is not None:
        found.extend(_latencies(candidate.slo))
    if candidate.heard_seconds_ago > health_ttl_seconds:
        reason = f"not heard of for {candidate.heard_seconds_ago:.0f} s"
        found.append(HealthFinding(DatacenterHealth.DEGRADED, reason))
    return max(found, key=lambda finding: finding.health) if found else _HEALTHY


def _is_plainly_healthy(candidate: DatacenterCandidate, health_ttl_seconds: float) -> bool:
    """Whether no rule can apply; most datacenters of most decisions are like that, and decisions have to be quick."""
    staff = candidate.staff
    return (
        candidate.is_reachable
        and candidate.slo is None
        and 0 < staff.managers == staff.healthy_managers
        and 0 < staff.workers == staff.healthy_workers
        and not staff.overloaded_workers
        and not staff.is_leader_overloaded
        and candidate.capacity.free_cores > 0
        and candidate.heard_seconds_ago <= health_ttl_seconds
    )


def watched(
    before: SloStanding | None, target_ms: float, percentiles_ms: tuple[float, float, float], passed_seconds: float
) -> SloStanding:
    """Percentiles (p50, p95, p99) as they are now, and for how long each limit has been broken without a break.

    `passed_seconds` is the time since `before`; a limit that was broken then and is now was so all the time.
    """
    p50_ms, p95_ms, p99_ms = percentiles_ms
    old = before or SloStanding(target_ms, 0.0, 0.0, 0.0)

    def held(seconds: float, before_ms: float, now_ms: float, times: float) -> float:
        limit_ms = times * target_ms
        return seconds + passed_seconds if before_ms >= limit_ms and now_ms >= limit_ms else 0.0

    return SloStanding(
        target_ms,
        p50_ms,
        p95_ms,
        p99_ms,
        held(old.p50_high_seconds, old.p50_ms, p50_ms, 1.5),
        held(old.p95_high_seconds, old.p95_ms, p95_ms, 2.0),
        held(old.p99_high_seconds, old.p99_ms, p99_ms, 3.0),
        held(old.p99_extreme_seconds, old.p99_ms, p99_ms, 5.0),
    )


def _presence(candidate: DatacenterCandidate) -> Iterator[HealthFinding]:
    if not candidate.is_reachable:
        yield HealthFinding(DatacenterHealth.UNHEALTHY, "it cannot be reached")
    if candidate.staff.managers == 0:
        yield HealthFinding(DatacenterHealth.UNHEALTHY, "it has no managers")
    if candidate.staff.workers == 0:
        yield HealthFinding(DatacenterHealth.UNHEALTHY, "it has no workers")


def _majorities(staff: DatacenterStaff) -> Iterator[HealthFinding]:
    if 2 * staff.healthy_workers <= staff.workers and staff.workers:
        yield HealthFinding(
            DatacenterHealth.DEGRADED, f"{staff.healthy_workers} of {staff.workers} workers are healthy"
        )
    if 2 * staff.healthy_managers <= staff.managers and staff.managers:
        reason = f"{staff.healthy_managers} of {staff.managers} managers are healthy"
        yield HealthFinding(DatacenterHealth.DEGRADED, reason)


def _pressure(staff: DatacenterStaff, capacity: DatacenterCapacity) -> Iterator[HealthFinding]:
    if staff.overloaded_workers:
        ratio = staff.overloaded_workers / max(1, staff.workers)
        worst = DatacenterHealth.UNHEALTHY if staff.workers >= _FEWEST_WORKERS_TO_EXCLUDE else DatacenterHealth.DEGRADED
        health = next((health for limit, health in _OVERLOADED if ratio >= limit), None)
        if health is not None:
            reason = f"{staff.overloaded_workers} of {staff.workers} workers are overloaded"
            yield HealthFinding(min(health, worst), reason)
    if staff.is_leader_overloaded:
        yield HealthFinding(DatacenterHealth.DEGRADED, "its leader is overloaded")
    if capacity.free_cores == 0:
        yield HealthFinding(DatacenterHealth.BUSY, "it has no free cores")


def _latencies(slo: SloStanding) -> Iterator[HealthFinding]:
    target_ms = slo.target_ms
    rules = (
        ("p99", slo.p99_ms, 5.0, slo.p99_extreme_seconds, 300.0, DatacenterHealth.UNHEALTHY),
        ("p99", slo.p99_ms, 3.0, slo.p99_high_seconds, 180.0, DatacenterHealth.DEGRADED),
        ("p95", slo.p95_ms, 2.0, slo.p95_high_seconds, 180.0, DatacenterHealth.DEGRADED),
        ("p50", slo.p50_ms, 1.5, slo.p50_high_seconds, 60.0, DatacenterHealth.BUSY),
    )
    for name, value_ms, times, seconds, limit_seconds, health in rules:
        if value_ms >= times * target_ms and seconds >= limit_seconds:
            yield HealthFinding(health, f"{name} is {value_ms / target_ms:.1f} times its target for {seconds:.0f} s")
