"""JobRouter: decides where jobs go, stage by stage, and remembers what the next decision needs.

Laws: the same calls lead to the same decisions; a job's memory goes with the job; what is remembered of datacenters is
forgotten once it has lost its meaning.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

from hyperscale.routing.bootstrap import bootstrap_order
from hyperscale.routing.bucket_selector import buckets_of
from hyperscale.routing.candidate_filter import exclusion_of
from hyperscale.routing.capacity import wait_seconds
from hyperscale.routing.datacenter_health import assess
from hyperscale.routing.explanation import reason_of, shortage_of
from hyperscale.routing.fallback_chain import fallback_chain
from hyperscale.routing.hysteresis import improved, steadied
from hyperscale.routing.models.candidates import DatacenterCandidate, DatacenterHealth, RoutingRequest, RoutingScope
from hyperscale.routing.models.config import RoutingConfig
from hyperscale.routing.models.decisions import (
    CandidateStanding,
    Cause,
    Ranking,
    RoutingDecision,
    ScoreComponents,
)
from hyperscale.routing.models.tenure import Tenure
from hyperscale.routing.observed_latency import ObservedLatency, blended_ms, learn
from hyperscale.routing.placements import Placements
from hyperscale.routing.scoring import (
    PREFERENCE,
    coordinate_quality,
    load_factor,
    quality_factor,
    rtt_ucb_ms,
    severity_factor,
    slo_factor,
)
from hyperscale.routing.spillover import should_spill


@dataclass(frozen=True, slots=True)
class _Occasion:
    """One decision: whose, for what, when, and ranked by what."""

    job_id: str
    request: RoutingRequest
    now_seconds: float
    ranking: Ranking


class JobRouter:
    """Routing of one gate."""

    def __init__(self, config: RoutingConfig | None = None) -> None:
        self._config = config or RoutingConfig()
        self._tenures: dict[str, tuple[Tenure, ...]] = {}
        # Where jobs were sent: what the bucket lacked, too.
        self._sent: dict[str, frozenset[str]] = {}
        self._observed: dict[str, ObservedLatency] = {}
        self._failed_at: dict[str, float] = {}
        self._placements = Placements(self._config.settle_seconds, self._config.health_ttl_seconds)

    @property
    def job_count(self) -> int:
        """Jobs remembered."""
        return len(self._tenures)

    @property
    def datacenter_count(self) -> int:
        """Datacenters of which something is remembered."""
        return len(self._observed.keys() | self._failed_at.keys())

    @property
    def placement_count(self) -> int:
        """Jobs sent lately, which datacenters may not have counted yet."""
        return len(self._placements)

    def decide(
        self, job_id: str, request: RoutingRequest, candidates: Sequence[DatacenterCandidate], now_seconds: float
    ) -> RoutingDecision:
        """Where a job goes, as things are now; raises ValueError when two candidates have the same name."""
        decision, tenures = self._weighed(job_id, request, candidates, now_seconds)
        sent = decision.chosen(request.count) if request.scope is RoutingScope.COUNT else decision.primaries
        self._take(job_id, tenures, sent if decision.primaries else (), now_seconds, request.cores)
        return decision

    def look(
        self, job_id: str, request: RoutingRequest, candidates: Sequence[DatacenterCandidate], now_seconds: float
    ) -> RoutingDecision:
        """Where a job would go: what `decide` would say, of which nothing is remembered."""
        return self._weighed(job_id, request, candidates, now_seconds)[0]

    def move(self, job_id: str, datacenter: str, successor: str, cores: int, now_seconds: float) -> None:
        """A job has gone from one datacenter to another, as its owner has chosen after a `look`."""
        others = [tenure for tenure in self._tenures.get(job_id, ()) if tenure.name not in (datacenter, successor)]
        sent = (self._sent.get(job_id, frozenset()) - {datacenter}) | {successor}
        self._take(job_id, [*others, Tenure(successor, now_seconds)], sent, now_seconds, cores)

    def _weighed(
        self, job_id: str, request: RoutingRequest, candidates: Sequence[DatacenterCandidate], now_seconds: float
    ) -> tuple[RoutingDecision, Sequence[Tenure]]:
        if len({candidate.name for candidate in candidates}) < len(candidates):
            raise ValueError("two candidates have the same name")
        self._expire(now_seconds)
        occasion = _Occasion(job_id, request, now_seconds, self._ranking(candidates))
        counted = self._placements.counted
        standings = tuple(self._standing(counted(candidate, now_seconds), occasion) for candidate in candidates)
        buckets = buckets_of(standings)
        before = _names(self._tenures.get(job_id, ()))
        primaries, cause, reason, tenures = self._outcome(buckets, standings, occasion)
        decision = RoutingDecision(
            standings,
            min(buckets, default=None),
            occasion.ranking,
            primaries,
            fallback_chain(buckets, primaries),
            cause,
            reason,
            replaced=tuple(sorted(before.difference(primaries))),
        )
        return decision, tenures

    def _outcome(
        self,
        buckets: Mapping[DatacenterHealth, list[CandidateStanding]],
        standings: Sequence[CandidateStanding],
        occasion: _Occasion,
    ) -> tuple[tuple[str, ...], Cause, str, Sequence[Tenure]]:
        request = occasion.request
        if not buckets or sum(map(len, buckets.values())) < request.fewest:
            return (), *shortage_of(standings, request.fewest), ()
        primaries, cause, tenures = (
            self._primaries(buckets[min(buckets)], occasion)
            if request.scope is RoutingScope.COUNT
            else self._everywhere(fallback_chain(buckets, ()), occasion)
        )
        return primaries, cause, reason_of(cause, primaries), tenures

    def forget(self, job_id: str) -> None:
        """The job has ended."""
        self._tenures.pop(job_id, None)
        self._sent.pop(job_id, None)
        self._placements.ended(job_id)

    def accepted(self, job_id: str, datacenter: str) -> None:
        """A datacenter has taken a job over: what it says from now on counts the job."""
        self._placements.accepted(job_id, datacenter)

    def observe(self, datacenter: str, latency_ms: float, now_seconds: float) -> None:
        """A datacenter has answered after so long."""
        self._expire(now_seconds)
        # The last to have spoken stands last, so that the first is the next to be forgotten.
        known = self._observed.pop(datacenter, None)
        self._observed[datacenter] = learn(known, latency_ms, now_seconds)

    def fail(self, datacenter: str, now_seconds: float) -> None:
        """A datacenter has failed a job: it is penalized for the cooldown."""
        self._expire(now_seconds)
        self._failed_at.pop(datacenter, None)
        self._failed_at[datacenter] = now_seconds

    def _expire(self, now_seconds: float) -> None:
        self._placements.expire(now_seconds)
        while self._observed:
            name, known = next(iter(self._observed.items()))
            if now_seconds - known.at_seconds <= self._config.memory_seconds:
                break
            del self._observed[name]
        while self._failed_at:
            name, failed_at = next(iter(self._failed_at.items()))
            if now_seconds - failed_at < self._config.cooldown_seconds:
                break
            del self._failed_at[name]

    def _ranking(self, candidates: Sequence[DatacenterCandidate]) -> Ranking:
        needed = self._config.quality_for_scoring
        knows = any(coordinate_quality(candidate.round_trip, self._config) >= needed for candidate in candidates)
        return Ranking.SCORE if knows else Ranking.BOOTSTRAP

    def _standing(self, candidate: DatacenterCandidate, occasion: _Occasion) -> CandidateStanding:
        finding = assess(candidate, self._config.health_ttl_seconds)
        exclusion = exclusion_of(candidate, finding, occasion.request)
        components = self._components(candidate, occasion)
        score = components.score
        by = (
            (score,)
            if occasion.ranking is Ranking.SCORE
            else bootstrap_order(candidate, components.preference, components.cooldown)
        )
        # Equals take turns from job to job: without that, all jobs of a moment would go to the same one.
        turn = float(crc32(f"{candidate.name}/{occasion.job_id}".encode()))
        return CandidateStanding(
            candidate.name,
            finding,
            exclusion,
            components if exclusion is None else None,
            score,
            (*by, turn),
            candidate.name in self._failed_at,
            wait_seconds(candidate.capacity, occasion.request.cores),
        )

    def _components(self, candidate: DatacenterCandidate, occasion: _Occasion) -> ScoreComponents:
        config, staff, round_trip = self._config, candidate.staff, candidate.round_trip
        predicted_ms = rtt_ucb_ms(round_trip, config)
        observed = self._observed.get(candidate.name)
        return ScoreComponents(
            latency_ms=blended_ms(observed, predicted_ms, occasion.now_seconds, config.memory_seconds),
            load=load_factor(candidate.capacity, staff.open_circuits),
            quality=quality_factor(coordinate_quality(round_trip, config)),
            preference=PREFERENCE if candidate.name in occasion.request.preferred else 1.0,
            slo=slo_factor(candidate.slo),
            severity=severity_factor(staff),
            cooldown=config.cooldown_factor if candidate.name in self._failed_at else 1.0,
        )

    def _primaries(
        self, bucket: list[CandidateStanding], occasion: _Occasion
    ) -> tuple[tuple[str, ...], Cause, Sequence[Tenure]]:
        before = self._tenures.get(occasion.job_id, ())
        count, now_seconds = occasion.request.count, occasion.now_seconds
        kept = steadied(bucket, before, count, now_seconds)
        better = kept if occasion.ranking is Ranking.BOOTSTRAP else improved(bucket, kept, now_seconds, self._config)
        final = self._spilled(bucket, better, now_seconds)
        names = _names(final)
        primaries = tuple(standing.name for standing in bucket if standing.name in names)
        return primaries, _cause(*map(_names, (before, kept, better, final))), final

    def _everywhere(
        self, usable: tuple[str, ...], occasion: _Occasion
    ) -> tuple[tuple[str, ...], Cause, Sequence[Tenure]]:
        """There is nothing to choose: what is excluded is not asked for, or cannot be used."""
        cause = Cause.REQUIRED if occasion.request.scope is RoutingScope.REQUIRED else Cause.EVERY_USABLE
        return usable, cause, [Tenure(name, occasion.now_seconds) for name in usable]

    def _take(
        self, job_id: str, tenures: Sequence[Tenure], sent: Collection[str], now_seconds: float, cores: int
    ) -> None:
        before = self._sent.pop(job_id, frozenset())
        self._tenures.pop(job_id, None)
        if tenures:
            self._tenures[job_id], self._sent[job_id] = tuple(tenures), frozenset(sent)
        for name in sent:
            if name not in before:
                self._placements.add(job_id, name, cores, now_seconds)

    def _spilled(self, bucket: list[CandidateStanding], tenures: list[Tenure], now_seconds: float) -> list[Tenure]:
        standings = {standing.name: standing for standing in bucket}
        taken = {tenure.name for tenure in tenures}
        result: list[Tenure] = []
        for tenure in tenures:
            own = standings[tenure.name]
            second = next(
                (other for other in bucket if other.name not in taken and should_spill(own, other, self._config)), None
            )
            if second is not None:
                taken.add(second.name)
            result.append(tenure if second is None else Tenure(second.name, now_seconds))
        return result


def _names(tenures: Sequence[Tenure]) -> frozenset[str]:
    return frozenset(tenure.name for tenure in tenures)


def _cause(before: frozenset[str], kept: frozenset[str], better: frozenset[str], final: frozenset[str]) -> Cause:
    if final != better:
        return Cause.SPILLED
    if not before:
        return Cause.FIRST
    if not before <= kept:
        return Cause.FORCED
    return Cause.KEPT if better == kept else Cause.IMPROVED
