"""Decisions, with everything that led to them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from hyperscale.routing.models.candidates import DatacenterHealth


class Exclusion(Enum):
    """Why a datacenter cannot be used at all."""

    REQUESTED = "the job excludes it"
    NOT_REQUIRED = "the job requires others"
    NO_MANAGERS = "none of its managers is connected"
    CIRCUITS_OPEN = "calls to all of its managers have failed lately"
    UNHEALTHY = "it is unhealthy"


class Ranking(Enum):
    """What datacenters of a bucket were ranked by."""

    SCORE = "score"
    BOOTSTRAP = "capacity"
    """No distance is known well enough: by free cores, then queue, then open circuits."""


class Cause(Enum):
    """What made a job's datacenters those that they are."""

    FIRST = "first decision"
    KEPT = "kept"
    IMPROVED = "another one is better by far"
    FORCED = "one could not stay"
    SPILLED = "another one can start at once"
    REQUIRED = "the job requires it"
    EVERY_USABLE = "every datacenter that can be used"
    TOO_FEW = "too few datacenters can be used"
    NONE_USABLE = "no datacenter can be used"


# Made for each candidate of each decision: a named tuple takes a third of the time that a frozen dataclass takes.
class ScoreComponents(NamedTuple):
    """Factors of a score; lower is better for each."""

    latency_ms: float
    load: float
    quality: float
    preference: float
    slo: float
    severity: float
    cooldown: float

    @property
    def score(self) -> float:
        """Their product."""
        return self.latency_ms * self.load * self.quality * self.preference * self.slo * self.severity * self.cooldown


@dataclass(frozen=True, slots=True)
class HealthFinding:
    """The health of a datacenter and why; the reason is empty when it is HEALTHY."""

    health: DatacenterHealth
    reason: str


class CandidateStanding(NamedTuple):
    """How a datacenter stood in a decision.

    Attributes
    ----------
    exclusion
        Set exactly when it cannot be used; it has no components then.
    order
        What it was ranked by, lower first: its score, or capacity, queue and circuits.
    """

    name: str
    finding: HealthFinding
    exclusion: Exclusion | None
    components: ScoreComponents | None
    score: float
    order: tuple[float, ...]
    cools_down: bool
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class RoutingDecision:
    """Where a job goes, and why.

    Attributes
    ----------
    standings
        Every candidate, by name.
    bucket
        The best health of those that can be used, None when there are none: the only source of primaries when the job asks for a
        number of datacenters.
    primaries
        Best first: at most as many as were asked for by number, else all that the job requires or that can be used. Empty when
        they are too few.
    fallback_chain
        The rest of the bucket, then the lower ones, each best first.
    replaced
        Datacenters that the job had and has no more, by name.
    """

    standings: tuple[CandidateStanding, ...]
    bucket: DatacenterHealth | None
    ranking: Ranking
    primaries: tuple[str, ...]
    fallback_chain: tuple[str, ...]
    cause: Cause
    reason: str
    replaced: tuple[str, ...] = ()

    def chosen(self, count: int) -> tuple[str, ...]:
        """As many datacenters as there are, up to a number: what the bucket lacks comes from the fallback chain."""
        return (*self.primaries, *self.fallback_chain)[:count]
