"""The managers of a datacenter in the order in which routing has them called. Pure."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence

from hyperscale.gate.models.managers import ConnectedManager
from hyperscale.routing.manager_selection import managers_in_order
from hyperscale.routing.models.peers import ManagerCandidate


def addresses_in_order(
    managers: Sequence[ConnectedManager],
    now_seconds: float,
    *,
    silence_limit_seconds: float = math.inf,
    left_alone: Container[str] = frozenset(),
    usual_manager: str | None = None,
) -> list[str]:
    """Addresses, the leader's first; without those left alone, and those of managers that have been silent for longer.

    `usual_manager` is an address, too: that of the one which comes first of those who do not lead.
    """
    by_id = {manager.heartbeat.node.node_id: manager for manager in managers}
    candidates = [
        ManagerCandidate(
            node_id,
            is_leader=manager.heartbeat.is_leader,
            term=manager.heartbeat.term,
            is_circuit_open=manager.address in left_alone,
            heard_seconds_ago=now_seconds - manager.heard_at_seconds,
        )
        for node_id, manager in by_id.items()
    ]
    usual_id = next((node_id for node_id, one in by_id.items() if one.address == usual_manager), None)
    return [by_id[node_id].address for node_id in managers_in_order(candidates, usual_id, silence_limit_seconds)]
