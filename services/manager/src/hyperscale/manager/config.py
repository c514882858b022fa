"""Options of a manager."""

from __future__ import annotations

from pydantic import Field

from hyperscale.manager.models.limits import ShardPatience
from hyperscale.runtime.config import NodeConfig, PeerAddress, SeedAddress
from hyperscale.workload.limits import MAX_FIRST_EXTENSION_SECONDS


class ManagerConfig(NodeConfig):
    """Runs one datacenter: divides jobs over workers, follows their progress, reports to gates."""

    datacenter: str = Field(
        min_length=1,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
        description="Datacenter that this manager runs; workers of another one are refused.",
    )
    store_url: str = Field(
        description="Coordination store shared by the managers of the datacenter, sqlite:///absolute/path.db; memory:// "
        "forgets at exit and suits a single manager."
    )
    gates: tuple[PeerAddress, ...] = Field(
        default=(),
        description="Addresses (host:port) of gates to register at; they tell of the others. Empty: reports are kept, up to 1000 "
        "results, and go nowhere.",
    )
    managers: tuple[SeedAddress, ...] = Field(
        default=(),
        description="Addresses (host:port) of other managers of the datacenter; through one that is there this manager finds "
        "the others. Managers that share workers meet without. Also dns://name:port, srv://name and k8s://service.namespace:port, which are looked up again and again.",
    )
    leader_lease_ttl_seconds: float = Field(
        default=6.0,
        ge=0.5,
        le=300,
        description="A leader that has not renewed its lease for this long has lost the datacenter. Renewed four times "
        "within it; shorter replaces a lost leader sooner and deposes a busy one more easily.",
    )
    worker_loss_grace_seconds: float = Field(
        default=3.0,
        ge=0,
        le=300,
        description="A worker whose stream is closed for longer is lost and its shards fail; also how long a worker may "
        "leave a shard out of its heartbeats. 0: at once.",
    )
    settle_seconds: float = Field(
        default=5.0,
        ge=0,
        le=300,
        description="When a job fails, or a shard is over its time, how long shards may take to stop and deliver their last "
        "totals; then they end with what has been counted. 0: at once.",
    )
    shard_placement_deadline_seconds: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="A shard that no worker takes for so long, while its workflow's other shards are under way, fails the "
        "workflow.",
    )
    shard_overrun_seconds: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="A shard that has not ended so long after its load and graceful stop should be over is stopped and fails its "
        "workflow, unless its worker is granted more time for it.",
    )
    extension_seconds: float = Field(
        default=30.0,
        ge=0,
        le=MAX_FIRST_EXTENSION_SECONDS,
        description="The first time that a shard is granted beyond its deadline, when it makes progress and asks for it; each "
        "of the four after it is half of the one before, at least 1 s. The job's timeout is later by as much. 0: none.",
    )
    cancel_grace_seconds: float = Field(
        default=15.0,
        ge=0,
        le=600,
        description="When a job is cancelled, how much longer than their graceful stop its shards may take to confirm "
        "their end.",
    )
    shard_dispatch_deadline_seconds: float = Field(
        default=5.0,
        gt=0,
        le=300,
        description="A worker that has not answered a dispatch or a cancellation within this time, repetitions included, "
        "counts as unreachable.",
    )
    refusal_hold_seconds: float = Field(
        default=1.0,
        ge=0,
        le=300,
        description="How long a worker that refused a shard is not asked again. 0: it is asked in the next round.",
    )
    scheduling_interval_seconds: float = Field(
        default=0.5,
        gt=0,
        le=60,
        description="Longest pause between two rounds of scheduling; whatever frees cores or brings work starts one at once.",
    )
    report_interval_seconds: float = Field(
        default=1.0,
        gt=0,
        le=60,
        description="Pause between two heartbeats to gates, and between two reports of a job's progress; changes of status, "
        "of leadership, of workers and of free cores are reported at once.",
    )
    drift_tolerance_seconds: float = Field(
        default=0.75,
        ge=0,
        le=60,
        description="How long after its end a second of the live view waits for workers that have not reported it. Longer "
        "shows more complete seconds, later; totals do not depend on it.",
    )
    report_buffer_size: int = Field(
        default=10_000,
        ge=100,
        le=1_000_000,
        description="Reports kept per gate until it acknowledges them; beyond it the oldest windows are dropped, final "
        "results never.",
    )
    max_active_jobs: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="Unfinished jobs in this datacenter at most; further ones are refused with RESOURCE_EXHAUSTED.",
    )
    ended_job_retention_seconds: float = Field(
        default=24 * 3600.0,
        gt=0,
        description="How long the record of an ended job is kept, which answers repeated dispatches and queries.",
    )

    @property
    def shard_patience(self) -> ShardPatience:
        """How long shards may take."""
        return ShardPatience(self.settle_seconds, self.shard_placement_deadline_seconds, self.shard_overrun_seconds)
