"""Every node of the cluster: the gates as this one sees them, the rest as their datacenters do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from hyperscale.gate.datacenter_calls import ManagerCalls
from hyperscale.gate.peers import ASKED_MAX, ManagerPeers
from hyperscale.gate.registry import ManagerRegistry
from hyperscale.runtime.errors import HyperscaleError
from hyperscale.v1.membership_service_pb2 import NodeListResponse, NodeStatus, UnansweredDatacenter

NODES_MAX: Final = 10_000
_SLACK_SECONDS: Final = 0.5
"""So that it is the managers' calls that time out, from which something is learnt."""


class OwnGroup(Protocol):
    """The group that this gate is in."""

    def nodes(self) -> NodeListResponse:
        """Its members."""
        ...


class NodeCensus:
    """Counts the nodes by asking one manager of each datacenter, all at the same time.

    Parameters
    ----------
    call_timeout_seconds
        Longest wait for one manager.
    """

    def __init__(
        self,
        group: OwnGroup,
        registry: ManagerRegistry,
        peers: ManagerPeers,
        calls: ManagerCalls,
        call_timeout_seconds: float,
    ) -> None:
        self._group = group
        self._registry = registry
        self._peers = peers
        self._calls = calls
        self._patience_seconds = call_timeout_seconds * ASKED_MAX + _SLACK_SECONDS

    async def take(self) -> NodeListResponse:
        """The nodes, and the datacenters that did not tell of theirs."""
        answers = await asyncio.gather(*map(self._ask, self._registry.datacenter_names))
        return merged([self._group.nodes(), *answers])

    async def _ask(self, datacenter: str) -> NodeListResponse:
        try:
            async with asyncio.timeout(self._patience_seconds):
                return await self._peers.ask(datacenter, self._calls.list_nodes)
        except TimeoutError:
            error = f"no answer within {self._patience_seconds:g} s"
        except HyperscaleError as failure:
            error = failure.message
        return NodeListResponse(unanswered=[UnansweredDatacenter(datacenter=datacenter, error=error)])


def merged(answers: Sequence[NodeListResponse], nodes_max: int = NODES_MAX) -> NodeListResponse:
    """Several lists as one: by role, datacenter and node id, and no longer than it may be."""
    nodes = sorted((status for answer in answers for status in answer.nodes), key=_place)
    return NodeListResponse(
        nodes=nodes[:nodes_max],
        unanswered=[datacenter for answer in answers for datacenter in answer.unanswered],
        left_out=sum(answer.left_out for answer in answers) + max(0, len(nodes) - nodes_max),
    )


def _place(status: NodeStatus) -> tuple[int, str, str]:
    return status.node.role, status.node.datacenter, status.node.node_id
