"""Whether this gate takes calls: it recovers first, and refuses new work once it drains."""

from __future__ import annotations

from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.v1 import node_pb2


class GateAdmission:
    """How far this gate is in its life: SYNCING → ACTIVE → DRAINING."""

    def __init__(self, home: node_pb2.NodeInfo) -> None:
        self._home = home

    def activate(self, endpoint: node_pb2.Endpoint) -> None:
        """Take calls from now on, at the address that peers dial."""
        self._home.endpoint.CopyFrom(endpoint)
        self._home.state = node_pb2.NODE_STATE_ACTIVE

    def drain(self) -> None:
        """Refuse calls from now on."""
        self._home.state = node_pb2.NODE_STATE_DRAINING

    def require_active(self) -> None:
        """Raise SYNCING or DRAINING unless this gate takes calls."""
        if self._home.state == node_pb2.NODE_STATE_ACTIVE:
            return
        is_draining = self._home.state == node_pb2.NODE_STATE_DRAINING
        raise HyperscaleError(ErrorReason.DRAINING if is_draining else ErrorReason.SYNCING)

    @property
    def node(self) -> node_pb2.NodeInfo:
        """A copy of what this gate says of itself."""
        copy = node_pb2.NodeInfo()
        copy.CopyFrom(self._home)
        return copy
