"""The gates that this manager reports to: the configured ones, and those that these tell of."""

from __future__ import annotations

from collections.abc import Sequence

from hyperscale.manager.gate_link import GateLink, GateLinkSurroundings
from hyperscale.runtime.clock import Clock
from hyperscale.runtime.linked_peers import LinkedPeers
from hyperscale.runtime.links import LinkTimings

_CONFIGURED = LinkTimings(max_delay_seconds=1.0)
# Gates tell of others that are there: one that this manager does not reach all the same is not just being started.
_FOUND = LinkTimings(max_delay_seconds=10.0)


class GateLinks:
    """A link to each gate. A gate is given up when none that is connected tells of it, itself included."""

    def __init__(self, addresses: Sequence[str], around: GateLinkSurroundings, clock: Clock) -> None:
        def link(address: str) -> GateLink:
            return GateLink(address, around, _CONFIGURED if address in addresses else _FOUND)

        self._peers = LinkedPeers(addresses, link, clock)

    def start(self) -> None:
        """Connect to the configured gates in the background."""
        self._peers.start()

    async def stop(self) -> None:
        """Close every stream."""
        await self._peers.stop()

    async def follow(self) -> None:
        """Link to the gates that there are now; while no gate is connected, none is given up."""
        told = [known for link in self._peers.links if (known := link.known_gates) is not None]
        if told:
            await self._peers.follow({node_id: address for known in told for node_id, address in known.items()})
