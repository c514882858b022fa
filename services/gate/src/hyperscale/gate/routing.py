"""Where jobs go: what is known of datacenters, put before the router.

Law: a job that is not under way here has nothing left in the router.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from hyperscale.gate.acceptance_times import AcceptanceTimes
from hyperscale.gate.candidates import DatacenterCandidates
from hyperscale.gate.models.consideration import Consideration
from hyperscale.gate.routing_journal import RoutingJournal
from hyperscale.routing.explanation import why
from hyperscale.routing.models.candidates import DatacenterHealth, RoutingRequest, RoutingScope
from hyperscale.routing.models.config import RoutingConfig
from hyperscale.routing.models.decisions import CandidateStanding, HealthFinding, Ranking, RoutingDecision
from hyperscale.routing.router import JobRouter
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.v1 import job_pb2, record_pb2, routing_pb2
from hyperscale.workload.demand import starting_cores
from hyperscale.workload.timestamps import timestamp

_MS_PER_SECOND: Final = 1000.0
_HEALTH: Final[Mapping[DatacenterHealth, routing_pb2.RoutingHealth.ValueType]] = {
    DatacenterHealth.HEALTHY: routing_pb2.ROUTING_HEALTH_HEALTHY,
    DatacenterHealth.BUSY: routing_pb2.ROUTING_HEALTH_BUSY,
    DatacenterHealth.DEGRADED: routing_pb2.ROUTING_HEALTH_DEGRADED,
    DatacenterHealth.UNHEALTHY: routing_pb2.ROUTING_HEALTH_UNHEALTHY,
}
_RANKING: Final[Mapping[Ranking, routing_pb2.RoutingRanking.ValueType]] = {
    Ranking.SCORE: routing_pb2.ROUTING_RANKING_SCORE,
    Ranking.BOOTSTRAP: routing_pb2.ROUTING_RANKING_CAPACITY,
}
_SCOPE: Final[Mapping[RoutingScope, routing_pb2.RoutingScope.ValueType]] = {
    RoutingScope.COUNT: routing_pb2.ROUTING_SCOPE_COUNT,
    RoutingScope.REQUIRED: routing_pb2.ROUTING_SCOPE_REQUIRED,
    RoutingScope.ALL: routing_pb2.ROUTING_SCOPE_ALL,
}

_NO_JOB: Final = ""
"""Stands for a job that is nowhere yet: where one runs already does not decide where something is done once for it."""


class DatacenterRouting:
    """The router of a gate, fed by heartbeats, probes and failed dispatches."""

    def __init__(
        self, candidates: DatacenterCandidates, journal: RoutingJournal, clock: Clock, config: RoutingConfig
    ) -> None:
        self._candidates = candidates
        self._journal = journal
        self._clock = clock
        self._router = JobRouter(config)
        self._acceptances = AcceptanceTimes(config.rtt_floor_ms)

    @property
    def job_count(self) -> int:
        """Jobs that the router remembers."""
        return self._router.job_count

    def consider(self, job_id: str, submission: job_pb2.JobSubmission) -> Consideration:
        """Where a job would go, as things are now."""
        request = _request(submission)
        now_seconds = self._clock.monotonic()
        decision = self._router.decide(job_id, request, self._candidates.all(), now_seconds)
        return Consideration(job_id, request, decision, self._clock.monotonic() - now_seconds)

    def conclude(self, final: Consideration) -> routing_pb2.RoutingDecision:
        """The datacenters of a job, and why; raises NO_USABLE_DATACENTER when fewer than it asks for can be used."""
        self._journal.decided(final.job_id, final.decision, final.count, final.took_seconds)
        if final.is_short:
            raise HyperscaleError(ErrorReason.NO_USABLE_DATACENTER, final.decision.reason)
        message = _message(final)
        message.decided_at.CopyFrom(timestamp(self._clock.wall()))
        return message

    def decide_again(self, job_id: str, submission: job_pb2.JobSubmission, failed: Collection[str]) -> RoutingDecision:
        """Where a job would go as things are now, without the datacenters that have not taken it over; nothing changes."""
        request = _request(submission)
        request = replace(request, exclude=request.exclude | set(failed))
        return self._router.look(job_id, request, self._candidates.all(), self._clock.monotonic())

    def one_of(self, job_id: str, names: Sequence[str]) -> str:
        """Where something is done once that a job needs: the best of its datacenters, of which the first one is preferred.

        The first one also when none can be used.
        """
        candidates = [candidate for candidate in self._candidates.all() if candidate.name in names]
        decision = self._router.look(
            _NO_JOB, RoutingRequest(preferred=frozenset(names[:1])), candidates, self._clock.monotonic()
        )
        chosen_one = next(iter(decision.primaries), names[0])
        self._journal.picked(job_id, chosen_one, decision)
        return chosen_one

    def findings(self) -> dict[str, HealthFinding]:
        """How healthy each datacenter is, as the next decision would find it."""
        request = RoutingRequest(scope=RoutingScope.ALL)
        decision = self._router.look(_NO_JOB, request, self._candidates.all(), self._clock.monotonic())
        return {standing.name: standing.finding for standing in decision.standings}

    def forget(self, job_id: str) -> None:
        """The job is not, or no longer, under way here."""
        self._router.forget(job_id)

    def taken_over(self, job_id: str, datacenter: str, took_seconds: float) -> None:
        """A datacenter has taken a job over, so long after it was handed out."""
        self._router.accepted(job_id, datacenter)
        known = self._candidates.round_trip(datacenter)
        rtt_ms = None if known is None else known.rtt_ms
        latency_ms = self._acceptances.latency_ms(took_seconds * _MS_PER_SECOND, rtt_ms)
        self._router.observe(datacenter, latency_ms, self._clock.monotonic())

    def replaced(self, record: record_pb2.JobRecord, decision: RoutingDecision) -> None:
        """Another datacenter has got the place of one that has not taken a job over: the last move of the record."""
        move, cores = record.routing.fallbacks[-1], starting_cores(record.submission)
        self._router.move(record.job_id, move.from_datacenter, move.to_datacenter, cores, self._clock.monotonic())
        self._journal.replaced(record.job_id, move, decision)

    def failed(self, datacenter: str) -> None:
        """A datacenter could not be handed a job, or was lost with one."""
        self._router.fail(datacenter, self._clock.monotonic())


def _request(submission: job_pb2.JobSubmission) -> RoutingRequest:
    selection = submission.datacenters
    return RoutingRequest(
        scope=_scope(selection),
        count=selection.count,
        required=frozenset(selection.required),
        cores=starting_cores(submission),
        preferred=frozenset(selection.preferred),
        exclude=frozenset(selection.exclude),
    )


def _scope(selection: job_pb2.DatacenterSelection) -> RoutingScope:
    if selection.required:
        return RoutingScope.REQUIRED
    return RoutingScope.COUNT if selection.count else RoutingScope.ALL


def chosen(decision: routing_pb2.RoutingDecision) -> list[str]:
    """The datacenters that a decision chose, best first."""
    return [
        candidate.datacenter
        for candidate in decision.candidates
        if candidate.outcome == routing_pb2.ROUTING_OUTCOME_CHOSEN
    ]


def _message(final: Consideration) -> routing_pb2.RoutingDecision:
    decision, request = final.decision, final.request
    line = decision.chosen(len(decision.standings))
    places = {name: place for place, name in enumerate(line)}
    standings = sorted(decision.standings, key=lambda standing: (places.get(standing.name, len(line)), standing.name))
    return routing_pb2.RoutingDecision(
        scope=_SCOPE[request.scope],
        count=0 if request.scope is RoutingScope.ALL else request.fewest,
        ranking=_RANKING[decision.ranking],
        reason=decision.reason,
        candidates=[
            _candidate(standing, why(decision, standing), places.get(standing.name, len(line)) < final.count)
            for standing in standings
        ],
    )


def _candidate(standing: CandidateStanding, reason: str, is_chosen: bool) -> routing_pb2.RoutingCandidate:
    candidate = routing_pb2.RoutingCandidate(
        datacenter=standing.name,
        outcome=routing_pb2.ROUTING_OUTCOME_CHOSEN if is_chosen else routing_pb2.ROUTING_OUTCOME_FALLBACK,
        health=_HEALTH[standing.finding.health],
        reason=reason,
    )
    part = standing.components
    if part is None:
        candidate.outcome = routing_pb2.ROUTING_OUTCOME_EXCLUDED
        return candidate
    candidate.score.CopyFrom(
        routing_pb2.RoutingScore(
            score=part.score,
            latency_ms=part.latency_ms,
            load=part.load,
            quality=part.quality,
            preference=part.preference,
            slo=part.slo,
            severity=part.severity,
            cooldown=part.cooldown,
        )
    )
    return candidate
