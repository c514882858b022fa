"""How far a node is in its life, where it listens, and whether it does its work in time: the one owner of all three."""

from __future__ import annotations

from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.identity import NodeIdentity
from hyperscale.v1 import node_pb2
from hyperscale.v1.node_pb2 import (
    NODE_STATE_ACTIVE,
    NODE_STATE_DRAINING,
    NODE_STATE_SYNCING,
    OVERLOAD_STATE_HEALTHY,
    OVERLOAD_STATE_OVERLOADED,
    NodeInfo,
    NodeState,
    OverloadState,
)


class NodeLifecycle:
    """SYNCING → ACTIVE → DRAINING; never back."""

    def __init__(self, identity: NodeIdentity) -> None:
        self._identity = identity
        self._state: NodeState.ValueType = NODE_STATE_SYNCING
        self._endpoint: Endpoint | None = None
        self._overload: OverloadState.ValueType = OVERLOAD_STATE_HEALTHY

    @property
    def identity(self) -> NodeIdentity:
        """Who the node is."""
        return self._identity

    @property
    def endpoint(self) -> Endpoint:
        """Where peers reach it; raises RuntimeError before it listens."""
        if self._endpoint is None:
            raise RuntimeError(f"{self._identity.node_id} does not listen yet")
        return self._endpoint

    @property
    def is_draining(self) -> bool:
        """Whether it takes nothing new any more."""
        return self._state == NODE_STATE_DRAINING

    @property
    def overload(self) -> OverloadState.ValueType:
        """Whether it does its work in time."""
        return self._overload

    @property
    def is_overloaded(self) -> bool:
        """Whether it falls behind."""
        return self._overload == OVERLOAD_STATE_OVERLOADED

    def note_overload(self, overload: OverloadState.ValueType) -> None:
        """Peers are told this from now on."""
        self._overload = overload

    def listens_at(self, endpoint: Endpoint) -> None:
        """The server is up; peers are told this address."""
        self._endpoint = endpoint

    def activate(self) -> None:
        """Take work from now on, unless the node drains already."""
        if not self.is_draining:
            self._state = NODE_STATE_ACTIVE

    def drain(self) -> None:
        """Take nothing new from now on."""
        self._state = NODE_STATE_DRAINING

    def require_active(self) -> None:
        """Raise SYNCING or DRAINING unless the node takes work."""
        if self._state != NODE_STATE_ACTIVE:
            raise HyperscaleError(ErrorReason.DRAINING if self.is_draining else ErrorReason.SYNCING)

    def vitals(self) -> NodeInfo:
        """What the group is told of the node now, which knows the rest."""
        return NodeInfo(state=self._state, version=self._identity.info().version, overload=self._overload)

    def info(self) -> NodeInfo:
        """What peers are told of the node now; raises RuntimeError before it listens."""
        info = self._identity.info()
        info.endpoint.CopyFrom(node_pb2.Endpoint(host=self.endpoint.host, port=self.endpoint.port))
        info.state = self._state
        info.overload = self._overload
        return info
