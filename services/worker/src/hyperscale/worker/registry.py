"""The managers of the datacenter: the worker keeps a connection to each, and tells all of them how it is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hyperscale.runtime.endpoints import Endpoint
from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.rhythm import Rhythm
from hyperscale.swim.events import Event, MemberConfirmed, MemberForgotten, MemberLeft, MemberMoved, MemberRecovered
from hyperscale.swim.models import Member, Role
from hyperscale.worker.health import Pulse
from hyperscale.worker.manager_link import LinkSurroundings, ManagerLink

_MAX_LINKS = 64
_SEED_PATIENCE_SECONDS = 5.0


class ManagerLinks:
    """Links to every configured manager, and to those that the group tells of."""

    def __init__(self, addresses: Sequence[str], pulse: Pulse, surroundings: LinkSurroundings, beats: Rhythm) -> None:
        self._welcomed = asyncio.Event()
        self._pulse = pulse
        self._surroundings = surroundings
        self._links = {address: self._link(address) for address in addresses}
        self._seeds = frozenset(addresses)
        self._found: dict[str, str] = {}
        """Addresses of managers that the group tells of, by node id."""
        self._beats = beats

    async def registered(self) -> None:
        """Wait until a manager has welcomed this worker."""
        await self._welcomed.wait()

    def start(self) -> None:
        """Connect to every manager in the background."""
        for link in self._links.values():
            link.start()

    async def stop(self) -> None:
        """Close every stream."""
        for link in self._links.values():
            await link.stop()

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
        link = next((link for link in self._links.values() if link.manager_id == manager_id), None)
        if link is None:
            message = f"manager {manager_id} could not be reported to: this worker is not registered with it"
            raise HyperscaleError(ErrorReason.NOT_READY, message)
        if link.is_overfull:
            raise HyperscaleError(ErrorReason.OVERLOADED, f"manager {manager_id} leaves results unacknowledged")
        return link

    def beat(self) -> None:
        """Tell every manager the worker's state now."""
        for link in self._links.values():
            link.beat()

    async def beat_forever(self) -> None:
        """Tell every manager the worker's state: at once when it has changed, and regularly."""
        while True:
            await self._drop_superfluous()
            self._add_missing()
            self.beat()
            await self._beats.next()

    async def settle(self, timeout_seconds: float) -> list[str]:
        """Wait until managers have acknowledged every report on a shard; returns those that have not in time."""
        try:
            async with asyncio.timeout(timeout_seconds):
                for link in list(self._links.values()):
                    await link.settled()
        except TimeoutError:
            return [link.manager_id for link in self._links.values() if not link.is_settled]
        return []

    async def _drop_superfluous(self) -> None:
        """Close links, but those to configured addresses, to who has gone, and to who is linked to already."""
        linked_by_seeds = {self._links[address].manager_id for address in self._seeds}
        wanted = {address for node_id, address in self._found.items() if node_id not in linked_by_seeds}
        for address in [address for address in self._links if address not in self._seeds | wanted]:
            if self._links[address].is_settled:
                await self._links.pop(address).stop()

    def _add_missing(self) -> None:
        """Link to managers the group tells of, once no configured address may turn out to be theirs."""
        if any(self._may_become_known(self._links[address]) for address in self._seeds):
            return
        linked = {link.manager_id for link in self._links.values()}
        for node_id, address in self._found.items():
            if node_id not in linked and address not in self._links and len(self._links) < _MAX_LINKS:
                self._links[address] = link = self._link(address)
                link.start()

    def _may_become_known(self, link: ManagerLink) -> bool:
        """Whether nobody has answered yet at an address, and somebody still may."""
        down_since = link.down_since
        if link.manager_id or down_since is None:
            return False
        return self._surroundings.clock.monotonic() - down_since < _SEED_PATIENCE_SECONDS

    def _link(self, address: str) -> ManagerLink:
        return ManagerLink(address, self._pulse, self._surroundings, self._welcomed)


def _is_manager(member: Member) -> bool:
    return member.identity.role is Role.MANAGER
