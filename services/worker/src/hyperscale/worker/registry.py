"""The managers of the datacenter: the worker keeps a connection to each, and tells all of them how it is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.linked_peers import LinkedPeers
from hyperscale.runtime.rhythm import Rhythm
from hyperscale.swim.events import Event, MemberConfirmed, MemberForgotten, MemberLeft, MemberMoved, MemberRecovered
from hyperscale.swim.models import Member, Role
from hyperscale.worker.health import Pulse
from hyperscale.worker.manager_link import LinkSurroundings, ManagerLink


class ManagerLinks:
    """Links to every configured manager, and to those that the group tells of."""

    def __init__(self, addresses: Sequence[str], pulse: Pulse, surroundings: LinkSurroundings, beats: Rhythm) -> None:
        self._welcomed = asyncio.Event()

        def link(address: str) -> ManagerLink:
            return ManagerLink(address, pulse, surroundings, self._welcomed)

        self._peers = LinkedPeers(addresses, link, surroundings.clock)
        self._found: dict[str, str] = {}
        """Addresses of managers that the group tells of, by node id."""
        self._beats = beats

    async def registered(self) -> None:
        """Wait until a manager has welcomed this worker."""
        await self._welcomed.wait()

    def start(self) -> None:
        """Connect to every manager in the background."""
        self._peers.start()

    async def stop(self) -> None:
        """Close every stream."""
        await self._peers.stop()

    def member_changed(self, event: Event) -> None:
        """Note managers that the group has met or lost for good; links follow with the next heartbeat."""
        match event:
            case MemberConfirmed(member) | MemberRecovered(member) | MemberMoved(member) if _is_manager(member):
                address = member.identity.address
                self._found[member.identity.node_id] = Endpoint(address.host, address.port).address
                self._beats.hasten()
            case MemberLeft(member) | MemberForgotten(member) if _is_manager(member):
                self._found.pop(member.identity.node_id, None)
                self._beats.hasten()

    def link_to(self, manager_id: str) -> ManagerLink:
        """The link that reports for a manager go to.

        Raises NOT_READY when no manager of that name has welcomed this worker, and OVERLOADED when it leaves too many
        results unacknowledged.
        """
        known = [link for link in self._peers.links if link.peer_id == manager_id]
        # One that was configured may be back at another address.
        link = next((link for link in known if link.is_connected), known[0] if known else None)
        if link is None:
            message = f"manager {manager_id} could not be reported to: this worker is not registered with it"
            raise HyperscaleError(ErrorReason.NOT_READY, message)
        if link.is_overfull:
            raise HyperscaleError(ErrorReason.OVERLOADED, f"manager {manager_id} leaves results unacknowledged")
        return link

    def beat(self) -> None:
        """Tell every manager the worker's state now."""
        for link in self._peers.links:
            link.beat()

    async def beat_forever(self) -> None:
        """Tell every manager the worker's state: at once when it has changed, and regularly."""
        while True:
            await self._peers.follow(self._found)
            self.beat()
            await self._beats.next()

    async def settle(self, timeout_seconds: float) -> list[str]:
        """Wait until managers have acknowledged every report on a shard; returns those that have not in time."""
        try:
            async with asyncio.timeout(timeout_seconds):
                for link in self._peers.links:
                    await link.settled()
        except TimeoutError:
            return [link.peer_id for link in self._peers.links if not link.is_settled]
        return []


def _is_manager(member: Member) -> bool:
    return member.identity.role is Role.MANAGER
