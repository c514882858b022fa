"""What a worker can be told."""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import Field, field_validator

from hyperscale.runtime.config import NodeConfig
from hyperscale.runtime.membership.seeds import is_address, seed_fault

_MAX_CORES = 1024
_MAX_MANAGERS = 64


def _usable_cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


class WorkerConfig(NodeConfig):
    """A Hyperscale worker: makes load with one engine process per core."""

    datacenter: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", description="Datacenter that this worker makes load in."
    )
    managers: Annotated[tuple[str, ...], Field(min_length=1, max_length=_MAX_MANAGERS)] = Field(
        description="Addresses (host:port) of managers of the datacenter, comma-separated; through one that is there the "
        "worker finds the others. Also dns://name:port, srv://name and k8s://service.namespace:port, which are looked up again and again."
    )
    cores: int = Field(
        default_factory=_usable_cores,
        ge=1,
        le=_MAX_CORES,
        description="Engine processes. Default: the CPUs this process may run on. "
        "When there are as many engines as CPUs, each engine is pinned to one.",
    )
    heartbeat_interval_seconds: float = Field(
        default=1.0,
        gt=0,
        le=10,
        description="How often managers are told the state and the free cores; changes are told at once.",
    )
    cancel_grace_seconds: float = Field(
        default=3.0,
        ge=0,
        le=600,
        description="Longest time that a cancelled shard gives iterations under way, if its graceful stop is not "
        "shorter; then they are interrupted. 0 interrupts at once.",
    )
    interrupt_grace_seconds: float = Field(
        default=3.0, gt=0, le=60, description="Engines that have not stopped so long after an interruption are killed."
    )
    engine_stall_seconds: float = Field(
        default=10.0,
        ge=2,
        le=600,
        description="An engine that gives no sign of life for so long, at work or idle, is killed and replaced.",
    )
    engine_start_timeout_seconds: float = Field(
        default=30.0, gt=0, le=600, description="An engine that is not ready so long after its start is replaced."
    )
    orphan_grace_seconds: float = Field(
        default=30.0,
        ge=0,
        le=3600,
        description="Shards go on for so long after the connection to their manager was lost; then they stop and "
        "their results are kept for it.",
    )
    fence_retention_seconds: float = Field(
        default=600.0,
        gt=0,
        le=86400,
        description="How long the fence and the shards of an ended job are remembered, to answer repeated calls.",
    )
    outbox_capacity: int = Field(
        default=1024,
        ge=16,
        le=65536,
        description="Reports kept per manager; beyond it the oldest progress is dropped, final results never.",
    )

    allow_python: bool = Field(
        default=False,
        description="Run workflows that are written in Python: whoever may submit jobs may then run code in the engine "
        "processes of this worker.",
    )

    @field_validator("managers")
    @classmethod
    def _are_distinct_addresses(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        faults = [fault for fault in map(seed_fault, addresses) if fault]
        if faults:
            raise ValueError("; ".join(faults))
        if len(set(addresses)) < len(addresses):
            raise ValueError("an address is named twice")
        return addresses

    @property
    def manager_addresses(self) -> tuple[str, ...]:
        """Managers that can be called as they are named; the group tells of those behind other names."""
        return tuple(seed for seed in self.managers if is_address(seed))
