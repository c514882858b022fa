"""The values that membership speaks of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from hyperscale.swim.coordinates import Coordinate

METADATA_MAX_BYTES = 512
"""Most that a member can say of itself."""


class Role(IntEnum):
    """What a node does in the cluster; the numbers are those of the protocol."""

    GATE = 1
    MANAGER = 2
    WORKER = 3


class MemberState(IntEnum):
    """What is believed of a member; with equal incarnations the higher number wins. The numbers are those of the protocol."""

    UNCONFIRMED = 1
    """Known by hearsay; nothing was received from it. Never suspected, never declared dead."""
    ALIVE = 2
    SUSPECT = 3
    DEAD = 4
    LEFT = 5
    """Said itself that it goes."""


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """Where a node listens: UDP, and TCP on the same port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a node is. Cluster and environment separate groups that must not meet."""

    node_id: str
    """Unique within the cluster, stable over restarts; 1 to 128 bytes."""
    role: Role
    address: NodeAddress
    """Where peers send to: never a wildcard address."""
    cluster_id: str
    environment_id: str
    datacenter: str
    """Datacenter of a manager or worker; region of a gate."""


@dataclass(frozen=True, slots=True)
class Member:
    """One row of the table of members, as it was when it was asked for."""

    identity: Identity
    state: MemberState
    incarnation: int
    metadata: bytes
    metadata_version: int
    coordinate: Coordinate | None
    """Where it was when it last answered a probe of this node; none before."""
    since: float
    """Reading of the caller's clock when the state began, in seconds."""


@dataclass(frozen=True, slots=True)
class Datagram:
    """Bytes to send to, or received from, an address."""

    address: NodeAddress
    data: bytes


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """Bytes to send over a new TCP connection, whose answer is one message."""

    stream_id: int
    address: NodeAddress
    data: bytes
    timeout_seconds: float
