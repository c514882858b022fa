"""The managers of the datacenter: the worker keeps a connection to each, and tells all of them how it is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hyperscale.runtime.errors import ErrorReason, HyperscaleError
from hyperscale.runtime.rhythm import Rhythm
from hyperscale.worker.health import Pulse
from hyperscale.worker.manager_link import LinkSurroundings, ManagerLink


class ManagerLinks:
    """Links to every configured manager."""

    def __init__(self, addresses: Sequence[str], pulse: Pulse, surroundings: LinkSurroundings, beats: Rhythm) -> None:
        self._welcomed = asyncio.Event()
        self._links = tuple(ManagerLink(address, pulse, surroundings, self._welcomed) for address in addresses)
        self._beats = beats

    async def registered(self) -> None:
        """Wait until a manager has welcomed this worker."""
        await self._welcomed.wait()

    def start(self) -> None:
        """Connect to every manager in the background."""
        for link in self._links:
            link.start()

    async def stop(self) -> None:
        """Close every stream."""
        for link in self._links:
            await link.stop()

    def link_to(self, manager_id: str) -> ManagerLink:
        """The link that reports for a manager go to.

        Raises NOT_READY when no manager of that name has welcomed this worker, and OVERLOADED when it leaves too many
        results unacknowledged.
        """
        link = next((link for link in self._links if link.manager_id == manager_id), None)
        if link is None:
            message = f"manager {manager_id} could not be reported to: this worker is not registered with it"
            raise HyperscaleError(ErrorReason.NOT_READY, message)
        if link.is_overfull:
            raise HyperscaleError(ErrorReason.OVERLOADED, f"manager {manager_id} leaves results unacknowledged")
        return link

    def beat(self) -> None:
        """Tell every manager the worker's state now."""
        for link in self._links:
            link.beat()

    async def beat_forever(self) -> None:
        """Tell every manager the worker's state: at once when it has changed, and regularly."""
        while True:
            self.beat()
            await self._beats.next()

    async def settle(self, timeout_seconds: float) -> list[str]:
        """Wait until managers have acknowledged every report on a shard; returns those that have not in time."""
        try:
            async with asyncio.timeout(timeout_seconds):
                for link in self._links:
                    await link.settled()
        except TimeoutError:
            return [link.manager_id for link in self._links if not link.is_settled]
        return []
