"""When a job changes its datacenters.

Laws: what a job has it keeps for the hold-down, and then as long as nothing is better by the threshold; it loses at once what
has left the bucket, is excluded or has failed, and within the hold-down what has been far worse than the best for a while.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hyperscale.routing.models.config import RoutingConfig
from hyperscale.routing.models.decisions import CandidateStanding
from hyperscale.routing.models.tenure import Tenure


def steadied(
    bucket: Sequence[CandidateStanding], tenures: Iterable[Tenure], count: int, now_seconds: float
) -> list[Tenure]:
    """The datacenters of a job: those it has, as far as they may stay, filled up with the best of the bucket."""
    staying = {standing.name for standing in bucket if not standing.cools_down}
    kept = [tenure for tenure in tenures if tenure.name in staying][:count]
    names = {tenure.name for tenure in kept}
    new = [standing.name for standing in bucket if standing.name not in names]
    return kept + [Tenure(name, now_seconds) for name in new[: count - len(kept)]]


def improved(
    bucket: Sequence[CandidateStanding], tenures: Sequence[Tenure], now_seconds: float, config: RoutingConfig
) -> list[Tenure]:
    """The same after comparing the worst of them with the best of the others, as far as scores justify a change."""
    standings = {standing.name: standing for standing in bucket}
    held = {tenure.name for tenure in tenures}
    rivals = [standing for standing in bucket if standing.name not in held]
    worst_first = sorted(tenures, key=lambda tenure: standings[tenure.name].order, reverse=True)
    compared = [
        _compared(tenure, standings[tenure.name], rival, now_seconds, config)
        for tenure, rival in zip(worst_first, rivals, strict=False)
    ]
    calm = [Tenure(tenure.name, tenure.since_seconds) for tenure in worst_first[len(compared) :]]
    return compared + calm


def _compared(
    tenure: Tenure, own: CandidateStanding, rival: CandidateStanding, now_seconds: float, config: RoutingConfig
) -> Tenure:
    excess_since = None
    if own.score >= config.excess_ratio * rival.score:
        known = tenure.excess_since_seconds
        excess_since = now_seconds if known is None else known
    is_free = now_seconds - tenure.since_seconds >= config.hold_seconds
    is_forced = excess_since is not None and now_seconds - excess_since >= config.excess_seconds
    if (is_free and rival.score <= config.switch_ratio * own.score) or is_forced:
        return Tenure(rival.name, now_seconds)
    return Tenure(tenure.name, tenure.since_seconds, excess_since)
