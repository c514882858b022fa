"""Why a job runs where it does: as a table for people, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from google.protobuf.json_format import MessageToDict

from hyperscale.client.names import routing_health_name, routing_outcome_name, routing_ranking_name, routing_scope_name
from hyperscale.client.results import fallbacks_json, iso_utc
from hyperscale.v1.routing_pb2 import RoutingCandidate, RoutingDecision, RoutingFallback, RoutingScore

COLUMNS: Final = ("datacenter", "outcome", "health", "score", "made of", "why")
_FACTORS: Final = ("load", "quality", "preference", "slo", "severity", "cooldown")


def routing_json(decision: RoutingDecision) -> dict[str, Any]:
    """The whole of a decision."""
    return {
        "decided_at": iso_utc(decision.decided_at),
        "scope": routing_scope_name(decision.scope),
        "count": decision.count,
        "ranking": routing_ranking_name(decision.ranking),
        "reason": decision.reason,
        "candidates": [
            {
                "datacenter": candidate.datacenter,
                "outcome": routing_outcome_name(candidate.outcome),
                "health": routing_health_name(candidate.health),
                "reason": candidate.reason,
                "score": _score_json(candidate),
            }
            for candidate in decision.candidates
        ],
        "fallbacks": fallbacks_json(decision.fallbacks),
    }


def fallback_lines(moves: Iterable[RoutingFallback]) -> list[str]:
    """A line for each datacenter that gave its place to another."""
    return [
        f"{iso_utc(move.decided_at)} {move.to_datacenter} took the place of {move.from_datacenter}: {move.reason}"
        for move in moves
    ]


def routing_rows(decision: RoutingDecision) -> list[tuple[str, ...]]:
    """A row for each datacenter, below `COLUMNS`; factors of a score that change nothing are left out."""
    return [
        (
            candidate.datacenter,
            routing_outcome_name(candidate.outcome),
            routing_health_name(candidate.health),
            f"{candidate.score.score:.1f}" if candidate.HasField("score") else "-",
            _factors(candidate.score) if candidate.HasField("score") else "-",
            candidate.reason,
        )
        for candidate in decision.candidates
    ]


def _score_json(candidate: RoutingCandidate) -> dict[str, Any] | None:
    if not candidate.HasField("score"):
        return None
    return MessageToDict(candidate.score, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def _factors(score: RoutingScore) -> str:
    changing = [(name, getattr(score, name)) for name in _FACTORS]
    factors = [f" × {name} {value:.2f}" for name, value in changing if value != 1.0]
    return f"{score.latency_ms:.1f} ms{''.join(factors)}"
