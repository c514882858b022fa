"""The gates that managers are told of."""

from __future__ import annotations

from itertools import islice
from typing import Final

from hyperscale.gate.ownership import GateGroup
from hyperscale.runtime.lifecycle import NodeLifecycle
from hyperscale.swim.models import Member, MemberState, NodeAddress, Role
from hyperscale.v1 import node_pb2, progress_pb2

_TOLD_MAX: Final = 64
_THERE: Final = frozenset({MemberState.ALIVE, MemberState.SUSPECT})


class GateDirectory:
    """Which gates are there, as far as one gate knows: itself and its group."""

    def __init__(self, lifecycle: NodeLifecycle, group: GateGroup) -> None:
        self._lifecycle = lifecycle
        self._gate_id = lifecycle.identity.node_id
        self._group = group

    def known_gates(self) -> progress_pb2.KnownGates:
        """What to tell a manager now; the same gates are the same message."""
        endpoint = self._lifecycle.endpoint
        here = _info(self._gate_id, NodeAddress(endpoint.host, endpoint.port))
        others = (member.identity for member in self._group.members() if self._is_there(member))
        gates = [_info(gate.node_id, gate.address) for gate in islice(others, _TOLD_MAX - 1)]
        return progress_pb2.KnownGates(gates=[here, *sorted(gates, key=lambda gate: gate.node_id)])

    def _is_there(self, member: Member) -> bool:
        is_other_gate = member.identity.role is Role.GATE and member.identity.node_id != self._gate_id
        return is_other_gate and member.state in _THERE


def _info(gate_id: str, address: NodeAddress) -> node_pb2.NodeInfo:
    endpoint = node_pb2.Endpoint(host=address.host, port=address.port)
    return node_pb2.NodeInfo(node_id=gate_id, role=node_pb2.NODE_ROLE_GATE, endpoint=endpoint)
