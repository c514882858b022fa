"""Which manager of a datacenter a call goes to.

Laws: never one whose circuit is open or that has been silent for too long; the leader first, then the one that the job had.
"""

from __future__ import annotations

from collections.abc import Iterable

from hyperscale.routing.models.peers import ManagerCandidate


def managers_in_order(
    managers: Iterable[ManagerCandidate], sticky_id: str | None, silence_limit_seconds: float
) -> list[str]:
    """Node ids in the order in which to try them; of several that believe they lead, that of the highest term first."""
    usable = [
        manager
        for manager in managers
        if not manager.is_circuit_open and manager.heard_seconds_ago <= silence_limit_seconds
    ]
    usable.sort(
        key=lambda manager: (
            not manager.is_leader,
            -manager.term if manager.is_leader else 0,
            manager.node_id != sticky_id,
            manager.node_id,
        )
    )
    return [manager.node_id for manager in usable]
