"""Decisions in words: why this datacenter and not that one."""

from __future__ import annotations

from collections.abc import Sequence

from hyperscale.routing.models.decisions import (
    CandidateStanding,
    Cause,
    Exclusion,
    Ranking,
    RoutingDecision,
    ScoreComponents,
)


def reason_of(cause: Cause, primaries: Sequence[str]) -> str:
    """A decision in one sentence."""
    return f"{', '.join(primaries)}: {cause.value}"


def shortage_of(standings: Sequence[CandidateStanding], fewest: int) -> tuple[Cause, str]:
    """What is said of a job that fewer datacenters can run than it asks for: each that cannot, and why."""
    relevant = [standing for standing in standings if standing.exclusion is not Exclusion.NOT_REQUIRED]
    obstacles = [f"{one.name}: {_obstacle(one)}" for one in relevant if one.exclusion is not None]
    usable = len(relevant) - len(obstacles)
    each = "; ".join(obstacles) or ("no other has registered" if relevant else "none has registered")
    if not usable:
        return Cause.NONE_USABLE, f"{Cause.NONE_USABLE.value}: {each}"
    return Cause.TOO_FEW, f"{Cause.TOO_FEW.value}, {usable} of {fewest}: {each}"


def why(decision: RoutingDecision, standing: CandidateStanding) -> str:
    """Why a datacenter is, or is not, where the job goes first."""
    if standing.exclusion is not None:
        return _obstacle(standing)
    if standing.name in decision.primaries:
        return _merit(decision, standing)
    if standing.finding.health is not decision.bucket:
        bucket = decision.bucket.name if decision.bucket is not None else ""
        return f"{standing.finding.health.name}, and {bucket} ones come first: {standing.finding.reason}"
    return _distance(decision, standing)


def trace(decision: RoutingDecision) -> str:
    """A decision with everything that led to it, as text: one line for it, one for each candidate."""
    head = f"{decision.reason} (by {decision.ranking.value}; then {', '.join(decision.fallback_chain) or 'nobody'})"
    return "\n".join([head, *(_line(decision, standing) for standing in decision.standings)])


def _obstacle(standing: CandidateStanding) -> str:
    if standing.exclusion is None:
        return standing.finding.reason
    is_found = standing.exclusion is not Exclusion.REQUESTED
    detail = f" ({standing.finding.reason})" if is_found and standing.finding.reason else ""
    return f"{standing.exclusion.value}{detail}"


def _merit(decision: RoutingDecision, standing: CandidateStanding) -> str:
    if decision.cause is not Cause.FIRST:
        return str(decision.cause.value)
    measure = "lowest score" if decision.ranking is Ranking.SCORE else "most free cores, distances are not known"
    return measure if len(decision.primaries) == 1 else f"among the {len(decision.primaries)} of the {measure}"


def _distance(decision: RoutingDecision, standing: CandidateStanding) -> str:
    if not decision.primaries:
        return "could be used, and is not enough"
    if decision.ranking is Ranking.BOOTSTRAP:
        return "has fewer free cores, waits longer or was not its turn; distances are not known"
    scores = {other.name: other.score for other in decision.standings}
    worst = max(decision.primaries, key=lambda name: scores[name])
    times = f"{standing.score / scores[worst]:.2f}"
    return f"as good as {worst}, whose turn it was" if times == "1.00" else f"{times} times the score of {worst}"


def _line(decision: RoutingDecision, standing: CandidateStanding) -> str:
    return f"  {standing.name} {standing.finding.health.name}{_figures(standing.components)}: {why(decision, standing)}"


def _figures(part: ScoreComponents | None) -> str:
    """The score and its factors but for those that change nothing."""
    if part is None:
        return ""
    names = ("load", "quality", "preference", "slo", "severity", "cooldown")
    factors = [f" × {name} {getattr(part, name):.2f}" for name in names if getattr(part, name) != 1.0]
    return f" {part.score:.1f} = {part.latency_ms:.1f} ms{''.join(factors)}"
