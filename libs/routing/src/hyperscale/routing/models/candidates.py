"""What is known of a datacenter when a decision is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum


class DatacenterHealth(IntEnum):
    """Buckets of datacenters; a lower value is always preferred."""

    HEALTHY = 0
    BUSY = 1
    """Will clear by itself: it is used when no datacenter is HEALTHY."""
    DEGRADED = 2
    UNHEALTHY = 3
    """Never used."""


@dataclass(frozen=True, slots=True)
class DatacenterStaff:
    """Nodes of a datacenter; of the managers, those whose circuit is open at the gate are unhealthy too."""

    managers: int = 1
    healthy_managers: int = 1
    overloaded_managers: int = 0
    open_circuits: int = 0
    workers: int = 1
    healthy_workers: int = 1
    overloaded_workers: int = 0
    is_leader_overloaded: bool = False


@dataclass(frozen=True, slots=True)
class RunningShard:
    """Work under way."""

    cores: int
    ends_in_seconds: float


@dataclass(frozen=True, slots=True)
class QueuedWork:
    """Work that waits for cores."""

    cores: int
    lasts_seconds: float


@dataclass(frozen=True, slots=True)
class DatacenterCapacity:
    """Cores of a datacenter, and what they are busy with as far as it is known."""

    total_cores: int = 1
    free_cores: int = 1
    queue: int = 0
    """Jobs or workflows that wait there."""
    running: tuple[RunningShard, ...] = ()
    queued: tuple[QueuedWork, ...] = ()
    age_seconds: float = 0.0
    """How long ago this was so; what runs has gone on since."""


@dataclass(frozen=True, slots=True)
class CapacityReport:
    """What one manager says of its datacenter."""

    manager: str
    is_leader: bool
    term: int
    age_seconds: float
    capacity: DatacenterCapacity


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """A round trip as it was measured or estimated, and how far it can be trusted."""

    rtt_ms: float
    sigma_ms: float = 0.0
    samples: int = 10
    error: float = 0.0
    """Relative error of the estimate; 0 for a measurement."""
    age_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class SloStanding:
    """Latencies of a datacenter beside their target, and for how long they have been beyond each limit."""

    target_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    p50_high_seconds: float = 0.0
    """p50 at or above 1.5 times the target."""
    p95_high_seconds: float = 0.0
    """p95 at or above 2 times the target."""
    p99_high_seconds: float = 0.0
    """p99 at or above 3 times the target."""
    p99_extreme_seconds: float = 0.0
    """p99 at or above 5 times the target."""


@dataclass(frozen=True, slots=True)
class DatacenterCandidate:
    """A datacenter that a job could go to."""

    name: str
    staff: DatacenterStaff = field(default_factory=DatacenterStaff)
    capacity: DatacenterCapacity = field(default_factory=DatacenterCapacity)
    is_reachable: bool = True
    heard_seconds_ago: float = 0.0
    round_trip: RoundTrip | None = None
    """None: nothing is known, which never excludes."""
    slo: SloStanding | None = None
    """None: there is no target."""


class RoutingScope(Enum):
    """Which datacenters a job asks for."""

    COUNT = "so many, the best"
    REQUIRED = "those that it requires, all of them"
    ALL = "every one that can be used"


@dataclass(frozen=True, slots=True)
class RoutingRequest:
    """What a job asks for.

    Attributes
    ----------
    count
        Datacenters to choose, when the scope is COUNT.
    cores
        Free cores with which the job can start.
    preferred
        Datacenters to favour among those that are equally healthy.
    exclude
        Datacenters never to use.
    required
        Those asked for, when the scope is REQUIRED.
    """

    count: int = 1
    cores: int = 1
    preferred: frozenset[str] = frozenset()
    exclude: frozenset[str] = frozenset()
    scope: RoutingScope = RoutingScope.COUNT
    required: frozenset[str] = frozenset()

    @property
    def fewest(self) -> int:
        """Datacenters without which the job does not run."""
        match self.scope:
            case RoutingScope.COUNT:
                return self.count
            case RoutingScope.REQUIRED:
                return len(self.required)
            case RoutingScope.ALL:
                return 1
