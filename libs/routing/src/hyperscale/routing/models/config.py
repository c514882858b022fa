"""What routing can be told to do otherwise."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class RoutingConfig:
    """Limits and weights of decisions; raises ValueError, naming every fault, when one of them is out of range."""

    default_rtt_ms: float = 100.0
    """Round trip to a datacenter that nothing is known of."""
    default_sigma_ms: float = 50.0
    """Its standard deviation."""
    sigmas: float = 2.0
    """Standard deviations between a round trip and its upper bound; 0: the expected value counts."""
    rtt_floor_ms: float = 5.0
    """Shorter ways count as this long: below it, load decides. Above 0: otherwise nothing would weigh against no way at all."""
    rtt_ceiling_ms: float = 10_000.0
    """Longer ways count as this long."""
    samples_for_quality: int = 10
    """Measurements of a round trip that full quality needs."""
    good_error: float = 0.2
    """Relative error of a coordinate at or below which it is as good as any."""
    coordinate_ttl_seconds: float = 300.0
    """Age beyond which a measurement loses quality."""
    quality_for_scoring: float = 0.5
    """Quality that the distance of one candidate must have before scores rank them; 0: scores always do."""
    health_ttl_seconds: float = 5.0
    """Silence after which a datacenter is DEGRADED at best."""
    settle_seconds: float = 0.5
    """From handing a job out until its datacenter counts it among its own, as long as nothing is known of its acceptance."""
    hold_seconds: float = 30.0
    """A datacenter chosen for a job stays so long, unless it is forced out; 0: no hold-down."""
    switch_ratio: float = 0.8
    """Another one must score at most this share of it; 1: any better score is enough."""
    excess_ratio: float = 1.5
    """A score that is so many times the best one forces a switch within the hold-down."""
    excess_seconds: float = 10.0
    """But only once it has been so for so long."""
    cooldown_seconds: float = 120.0
    """Time for which a datacenter that failed is penalized; 0: never."""
    cooldown_factor: float = 2.0
    """Penalty on its score."""
    spill_wait_seconds: float = 60.0
    """A wait that is not worth going elsewhere for."""
    spill_latency_ms: float = 100.0
    """Latency that going elsewhere may cost."""
    spill_wait_share: float = 0.5
    """The wait elsewhere may be at most this share of the wait here."""
    memory_seconds: float = 300.0
    """Age at which an observed latency has lost all confidence."""

    def __post_init__(self) -> None:
        faults = [field.name for field in fields(self) if not getattr(self, field.name) >= 0]
        if faults:
            raise ValueError(f"must not be negative: {', '.join(faults)}")
        if not self.rtt_floor_ms:
            raise ValueError("must be above 0: rtt_floor_ms")
