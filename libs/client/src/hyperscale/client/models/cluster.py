"""A local cluster: what is asked for, and what runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class LocalRole(StrEnum):
    """What a process of a local cluster is; the value is its name in JSON."""

    GATE = "gate"
    MANAGER = "manager"
    WORKER = "worker"
    TARGET = "target"


class Lifetime(StrEnum):
    """How long the processes of a local cluster live."""

    WITH_PARENT = "with_parent"
    """They end when the process that started them does, however it ends."""
    UNTIL_STOPPED = "until_stopped"
    """They stay until somebody stops them."""


@dataclass(frozen=True, slots=True)
class ClusterLayout:
    """How many nodes of which kind; managers and workers are per datacenter."""

    gates: int
    datacenters: tuple[str, ...]
    managers: int
    workers: int
    cores: int
    """Engine processes of each worker."""

    def __str__(self) -> str:
        workers = f"{_several(self.workers, 'worker')} with {_several(self.cores, 'core')}"
        place = (
            f"in {self.datacenters[0]}" if len(self.datacenters) == 1 else f"in each of {', '.join(self.datacenters)}"
        )
        return f"{_several(self.gates, 'gate')}; {_several(self.managers, 'manager')} and {workers} {place}"


def _several(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"


@dataclass(frozen=True, slots=True)
class NodeProcess:
    """A process that was started, whether it is ready or not.

    ``start_mark`` tells it from a later process that got the same pid.
    """

    role: LocalRole
    node_id: str
    pid: int
    start_mark: str
    directory: Path


@dataclass(frozen=True, slots=True)
class ReadyNode:
    """A process that serves."""

    process: NodeProcess
    datacenter: str
    address: str


@dataclass(frozen=True, slots=True)
class ClusterState:
    """What is known of the cluster of a state directory."""

    processes: tuple[NodeProcess, ...] = ()
    nodes: tuple[ReadyNode, ...] = ()

    @property
    def gates(self) -> tuple[str, ...]:
        """Addresses of the gates that were started."""
        return tuple(node.address for node in self.nodes if node.process.role is LocalRole.GATE)
