"""What is told of decisions: a line in the log and numbers for a collector."""

from __future__ import annotations

from collections import Counter
from typing import Final

from structlog.typing import FilteringBoundLogger

from hyperscale.routing.explanation import why
from hyperscale.routing.models.decisions import RoutingDecision
from hyperscale.runtime.telemetry import Meter
from hyperscale.v1 import routing_pb2

_BUCKETS_SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)
_MAX_NAMED: Final = 10


class RoutingJournal:
    """Logs and counts the decisions of one gate."""

    def __init__(self, meter: Meter, logger: FilteringBoundLogger) -> None:
        self._logger = logger
        self._decisions = meter.create_counter(
            "hyperscale.routing_decisions_total", description="Decisions on where a job goes"
        )
        self._refusals = meter.create_counter(
            "hyperscale.routing_refusals_total",
            description="Decisions that found fewer datacenters than were asked for",
        )
        self._switches = meter.create_counter(
            "hyperscale.routing_switch_total", description="Decisions that took a datacenter from a job that had it"
        )
        self._fallbacks = meter.create_counter(
            "hyperscale.routing_fallback_used_total", description="Datacenters that jobs got from the fallback chain"
        )
        self._exclusions = meter.create_counter(
            "hyperscale.routing_exclusions_total", description="Datacenters that could not be used, once per decision"
        )
        self._score = meter.create_gauge(
            "hyperscale.routing_score", "ms", "Score of a datacenter in the latest decision; lower is better"
        )
        self._duration = meter.create_histogram(
            "hyperscale.routing_decision_seconds",
            "s",
            "Time that a decision takes",
            explicit_bucket_boundaries_advisory=_BUCKETS_SECONDS,
        )

    def decided(self, job_id: str, decision: RoutingDecision, count: int, took_seconds: float) -> None:
        """A decision was made for a job that wants so many datacenters."""
        self._count(decision, count)
        self._duration.record(took_seconds)
        self._logger.info(
            "job routed" if _suffices(decision, count) else "job not routed",
            job_id=job_id,
            count=count,
            datacenters=_got(decision, count),
            replaced=decision.replaced,
            cause=decision.cause.name.lower(),
            ranking=decision.ranking.name.lower(),
            health=_bucket(decision),
            reason=decision.reason,
            scores=_scores(decision),
            excluded=_excluded(decision),
            took_ms=round(took_seconds * 1000, 3),
        )

    def replaced(self, job_id: str, move: routing_pb2.RoutingFallback, decision: RoutingDecision) -> None:
        """A datacenter has taken the place of one that has not taken a job over, as a look at the others has said."""
        self._fallbacks.add(1, {"datacenter": move.to_datacenter})
        self._logger.warning(
            "job falls back",
            job_id=job_id,
            from_datacenter=move.from_datacenter,
            to_datacenter=move.to_datacenter,
            reason=move.reason,
            scores=_scores(decision),
            excluded=_excluded(decision),
        )

    def picked(self, job_id: str, datacenter: str, decision: RoutingDecision) -> None:
        """One of the datacenters of a job does what is done once for it."""
        self._logger.info(
            "job teardown placed",
            job_id=job_id,
            datacenter=datacenter,
            reason=decision.reason,
            scores=_scores(decision),
            excluded=_excluded(decision),
        )

    def _count(self, decision: RoutingDecision, count: int) -> None:
        cause, health = decision.cause.name.lower(), _bucket(decision)
        self._decisions.add(1, {"cause": cause, "health": health, "ranking": decision.ranking.name.lower()})
        if not _suffices(decision, count):
            self._refusals.add(1)
        if decision.replaced:
            self._switches.add(1, {"cause": cause})
        for name in _got(decision, count)[len(decision.primaries) :]:
            self._fallbacks.add(1, {"datacenter": name})
        reasons = Counter(one.exclusion.name.lower() for one in decision.standings if one.exclusion is not None)
        for reason, times in reasons.items():
            self._exclusions.add(times, {"reason": reason})
        for standing in decision.standings:
            if standing.exclusion is None:
                self._score.set(standing.score, {"datacenter": standing.name})


def _suffices(decision: RoutingDecision, count: int) -> bool:
    return len(decision.chosen(count)) >= count


def _got(decision: RoutingDecision, count: int) -> tuple[str, ...]:
    return decision.chosen(count) if _suffices(decision, count) else ()


def _bucket(decision: RoutingDecision) -> str:
    return "none" if decision.bucket is None else decision.bucket.name.lower()


def _scores(decision: RoutingDecision) -> dict[str, float]:
    """Those of the first in line: one that is not logged was not close."""
    scores = {standing.name: standing.score for standing in decision.standings}
    return {name: round(scores[name], 2) for name in decision.chosen(_MAX_NAMED)}


def _excluded(decision: RoutingDecision) -> dict[str, str]:
    excluded = [standing for standing in decision.standings if standing.exclusion is not None]
    named = {standing.name: why(decision, standing) for standing in excluded[:_MAX_NAMED]}
    return named if len(excluded) <= _MAX_NAMED else {**named, "…": f"and {len(excluded) - _MAX_NAMED} more"}
