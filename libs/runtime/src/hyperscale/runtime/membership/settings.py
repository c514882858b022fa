"""What a node's configuration says of its group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hyperscale.runtime.config import NodeConfig
from hyperscale.runtime.membership.profile import MembershipProfile

GATES_GROUP = "gates"
FEDERATION = "federation"
"""No group: what gates and managers say to each other across the borders of theirs."""


def datacenter_group(datacenter: str) -> str:
    """Name of the group of a datacenter's managers and workers."""
    return f"datacenters/{datacenter}"


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """Which group, and how to find it."""

    name: str
    """Groups of other names never meet: ``gates``, or ``datacenters/`` and a name."""
    seeds: tuple[str, ...]
    """Where members may be found, by address or by name; the group goes on without them once it has met."""
    profile: MembershipProfile
    keys_file: Path | None

    @classmethod
    def of(cls, config: NodeConfig, name: str, seeds: Sequence[str]) -> GroupSettings:
        """The settings that a configuration gives."""
        return cls(name, tuple(seeds), config.membership_profile, config.membership_keys_file)
