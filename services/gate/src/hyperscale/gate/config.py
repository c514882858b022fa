"""Options of a gate."""

from __future__ import annotations

from pydantic import Field

from hyperscale.gate.models.orders import EventBounds, JobLimits
from hyperscale.routing.models.config import RoutingConfig
from hyperscale.runtime.circuits import CircuitPolicy
from hyperscale.runtime.config import NodeConfig, SeedAddress

_HOUR_SECONDS = 3600.0


class GateConfig(NodeConfig):
    """Accepts jobs, runs them in datacenters, merges what they measure."""

    store_url: str = Field(
        description="Coordination store shared by all gates, sqlite:///absolute/path.db; memory:// forgets at exit."
    )
    gates: tuple[SeedAddress, ...] = Field(
        default=(),
        description="Addresses (host:port) of other gates, comma-separated; through one that is there this gate finds the "
        "others. Also dns://name:port, srv://name and k8s://service.namespace:port, which are looked up again and again.",
    )
    max_active_jobs: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="Unfinished jobs this gate owns at most; further ones are refused with RESOURCE_EXHAUSTED.",
    )
    lease_ttl_seconds: float = Field(
        default=15.0,
        gt=0,
        le=600,
        description="A job whose gate has not renewed its ownership for this long is ended by another gate. "
        "Renewed after a third of it; shorter notices losses sooner and costs more writes.",
    )
    dispatch_deadline_seconds: float = Field(
        default=10.0,
        gt=0,
        le=600,
        description="A datacenter that has not taken a job over within this time fails its part with the reason, "
        "unless the choice was the gate's and another one takes its place.",
    )
    routing_patience_seconds: float = Field(
        default=1.0,
        ge=0,
        le=60,
        description="How long a job for which too few datacenters can be used waits for better news of them, and a job that "
        "runs in all for those that have just registered, before it is refused or goes without them. 0: not at all.",
    )
    call_timeout_seconds: float = Field(
        default=3.0, gt=0, le=60, description="Longest wait for one answer of a manager or another gate."
    )
    circuit_failures: int = Field(
        default=3,
        ge=1,
        le=1000,
        description="A manager is not called for a while after so many calls to it have failed within the window; a datacenter "
        "whose managers are all left alone gets no job that leaves the choice to the gate.",
    )
    circuit_window_seconds: float = Field(
        default=30.0, gt=0, le=3600, description="Failed calls that are older do not count against a manager."
    )
    circuit_half_open_after_seconds: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        description="After this time one call tries again whether a manager that is left alone is back. Shorter finds it "
        "sooner, and lets more calls wait for one that is gone. One that registers again is called at once.",
    )
    routing_cooldown_seconds: float = Field(
        default=120.0,
        ge=0,
        le=86_400,
        description="A datacenter that did not take a job over, or was lost with one, scores twice as high for so long in the "
        "choices for other jobs; 0 forgets failures at once.",
    )
    manager_loss_grace_seconds: float = Field(
        default=10.0,
        gt=0,
        le=600,
        description="A datacenter whose managers have all been silent for longer fails its part of every job.",
    )
    slo_target_ms: float | None = Field(
        default=None,
        gt=0,
        description="Latency that requests are to have in every datacenter; one where they take much longer is avoided. "
        "For jobs that all test one system. Default: latencies of requests do not count.",
    )
    stop_grace_seconds: float = Field(
        default=30.0,
        gt=0,
        le=600,
        description="A stopped datacenter that takes longer than this and its graceful stop to report its end is "
        "recorded as FAILED.",
    )
    window_tolerance_seconds: float = Field(
        default=1.5,
        ge=0,
        le=60,
        description="How long a second of the live view waits for datacenters that have not reported it.",
    )
    event_history: int = Field(
        default=200,
        ge=1,
        le=100_000,
        description="Events kept per unfinished job; a watcher further behind gets a snapshot.",
    )
    event_history_bytes: int = Field(
        default=4 * 1024 * 1024,
        ge=64 * 1024,
        le=1024 * 1024 * 1024,
        description="Size of the events kept per unfinished job, whatever their number. A second of a job with a dozen "
        "steps is some ten kilobytes.",
    )
    cancel_delivery_seconds: float = Field(
        default=_HOUR_SECONDS,
        gt=0,
        description="How long the gate keeps trying to tell an absent datacenter that a job is cancelled. A datacenter that "
        "still reports such a job later is told again.",
    )
    completed_job_retention_seconds: float = Field(
        default=24 * _HOUR_SECONDS,
        gt=0,
        description="Ended jobs are readable, and their idempotency keys taken, for this long; then they are deleted.",
    )
    retention_sweep_seconds: float = Field(
        default=60.0, gt=0, description="Pause between two searches for jobs past their retention."
    )

    @property
    def circuit_policy(self) -> CircuitPolicy:
        """When managers are left alone."""
        return CircuitPolicy(
            failures=self.circuit_failures,
            window_seconds=self.circuit_window_seconds,
            half_open_after_seconds=self.circuit_half_open_after_seconds,
        )

    @property
    def routing(self) -> RoutingConfig:
        """How datacenters are chosen."""
        return RoutingConfig(cooldown_seconds=self.routing_cooldown_seconds)

    @property
    def job_limits(self) -> JobLimits:
        """What concerns one running job."""
        return JobLimits(
            events=EventBounds(self.event_history, self.event_history_bytes),
            window_tolerance_seconds=self.window_tolerance_seconds,
            dispatch_deadline_seconds=self.dispatch_deadline_seconds,
            stop_grace_seconds=self.stop_grace_seconds,
        )
