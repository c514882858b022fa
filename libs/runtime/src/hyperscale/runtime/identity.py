"""Who a node is, and which peers it talks to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from hyperscale.runtime.config import NodeConfig
from hyperscale.runtime.errors import ErrorReason, FieldViolation, HyperscaleError
from hyperscale.v1.node_pb2 import NODE_ROLE_GATE, NodeInfo, NodeRole

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_NAME_RULE: Final = "must have 1 to 63 letters, digits, '-', '_' or '.'"
_PATH: Final = "heartbeat.node"


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """Name and place of a node.

    Attributes
    ----------
    datacenter
        Datacenter of a manager or worker; region of a gate.
    """

    node_id: str
    role: NodeRole.ValueType
    datacenter: str
    cluster_id: str
    environment_id: str

    @classmethod
    def of(cls, config: NodeConfig, role: NodeRole.ValueType) -> NodeIdentity:
        """The node that a configuration describes."""
        place = config.region if role == NODE_ROLE_GATE else config.datacenter
        return cls(config.node_id, role, place, config.cluster_id, config.environment_id)

    def info(self) -> NodeInfo:
        """What peers are told; where it listens and how far it is in its life are for its `NodeLifecycle` to add."""
        return NodeInfo(
            node_id=self.node_id,
            role=self.role,
            datacenter=self.datacenter,
            cluster_id=self.cluster_id,
            environment_id=self.environment_id,
            version=_release(_role_name(self.role)),
        )

    def admit(self, peer: NodeInfo, role: NodeRole.ValueType, *, datacenter: str | None = None) -> None:
        """Let a node in that introduces itself with a heartbeat.

        Raises INVALID_ARGUMENT with every fault unless it is well described and of the role, and WRONG_CLUSTER unless
        it is of this cluster and environment, and of the datacenter when one is given.
        """
        violations = _faults(peer, role)
        if violations:
            raise HyperscaleError(ErrorReason.INVALID_ARGUMENT, violations=violations)
        theirs = [peer.cluster_id, peer.environment_id]
        ours = [self.cluster_id, self.environment_id]
        if datacenter is not None:
            theirs.append(peer.datacenter)
            ours.append(datacenter)
        if theirs != ours:
            facts = {"caller_cluster": "/".join(theirs), "node_cluster": "/".join(ours)}
            raise HyperscaleError(ErrorReason.WRONG_CLUSTER, metadata=facts)


def _faults(peer: NodeInfo, role: NodeRole.ValueType) -> list[FieldViolation]:
    checks = (
        (peer.role == role, "role", f"must be {NodeRole.Name(role)}"),
        (_is_name(peer.node_id), "node_id", _NAME_RULE),
        (_is_name(peer.datacenter), "datacenter", _NAME_RULE),
        (bool(peer.endpoint.host), "endpoint.host", "must not be empty"),
        (1 <= peer.endpoint.port <= 65535, "endpoint.port", "must be from 1 to 65535"),
    )
    return [FieldViolation(f"{_PATH}.{field}", fault) for is_fine, field, fault in checks if not is_fine]


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def _role_name(role: NodeRole.ValueType) -> str:
    return NodeRole.Name(role).removeprefix("NODE_ROLE_").lower()


@cache
def _release(role_name: str) -> str:
    """Release of the node's software; it has none when it runs from its source tree."""
    try:
        return version(f"hyperscale-{role_name}")
    except PackageNotFoundError:
        return "unreleased"
